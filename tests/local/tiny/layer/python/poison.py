raise ImportError("the layer must arrive empty")
