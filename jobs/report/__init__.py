"""The corpus report: ``read_report`` reads the tables, ``plots`` draws, ``render_page`` makes one HTML page."""
