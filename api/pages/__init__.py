"""The page: what people see in a browser, written here as HTML, under a session that an API key opens."""
