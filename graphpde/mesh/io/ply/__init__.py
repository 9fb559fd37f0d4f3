"""PLY surfaces (Stanford polygon files), read and written."""
