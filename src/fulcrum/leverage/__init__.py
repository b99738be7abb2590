"""Token-Efficient Leverage Learning (Zeng et al., arXiv 2404.00914): a few anchored task rows in many general rows."""
