"""The networks: variant table, architecture, Keras builder, weights, preprocessing, labels."""
