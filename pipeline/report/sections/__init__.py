"""The page's sections, one per module: contents -> markup."""
