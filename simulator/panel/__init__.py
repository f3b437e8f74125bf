"""The panel: one page to press virtual buttons, pull their plugs, and watch what becomes of each alarm."""
