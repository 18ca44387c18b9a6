"""The headings of `siglane COMMAND --help`, each with its options. An option that is not listed stands first."""

GROUPS = {
    "query": ("text", "image", "uid", "without", "queries"),
    "hits": ("k", "offset", "against", "distinct", "min_probability", "columns", "words", "hybrid", "exact", "open"),
    "input": (
        *("input", "input_format", "layout", "image_col", "url_col", "caption_col", "captions", "separator"),
        *(
            "uid_col",
            "image_id_col",
            "keep_cols",
            "image_vector_col",
            "text_vector_col",
            "allow_uri",
            "source_prefix",
            "allow_missing",
        ),
    ),
    "model": ("model", "architecture", "precision", "preprocessing", "batch_size", "logit_scale", "logit_bias"),
    "rows": ("where", "all", "only_new", "limit", "sample_fraction", "replace_changed", "retry_rejected"),
    "cut": (
        *(
            "by",
            "min",
            "max",
            "top_fraction",
            "max_mismatch_fraction",
            "wrong_captions",
            "threshold_from",
            "rule",
            "per",
            "unsure",
        ),
    ),
    "output": (
        *("output", "overwrite", "output_format", "with_images", "shard_size", "shuffle_seed", "flag", "tag", "score"),
        *("vector_dtype", "image_statistics", "thumbnail_px"),
    ),
    "run": (
        *(
            "dry_run",
            "max_hours",
            "stall_timeout",
            "max_reject_fraction",
            "sample_seconds",
            "sample_gigabytes",
            "max_pixels",
        ),
        "commit_seconds",
        "log_format",
        "on_done",
    ),
    "service": ("host", "port", "token_env", "replicas", "max_k", "max_body", "max_seconds", "max_rate"),
    "cluster": ("address", "num_gpus", "encoders_per_gpu", "wait_for_nodes", "local", "env", "detach"),
    "an earlier job": ("logs", "status", "stop"),
}
OF_EVERY_COMMAND = "every command"
