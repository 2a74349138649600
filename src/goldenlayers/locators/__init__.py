"""Ways to choose a layer: one file each, one protocol, facts in and `LayerRanking` out."""
