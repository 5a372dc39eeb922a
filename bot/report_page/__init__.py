"""A run as one HTML file: ``course`` folds its facts, the rest makes text of what came of them.

Imported only where a page is asked for.
"""
