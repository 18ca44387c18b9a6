"""The page's sections, one a module: contents -> markup."""
