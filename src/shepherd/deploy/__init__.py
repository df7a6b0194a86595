"""A real federation: the same rounds over organisations whose data never leaves them, on Flower.

The round loop is the simulator's; `FlowerBackend` is its backend. What runs beside the data is `Site`, which calls the
same client code. Flower carries the messages (`superlink`, `supernode`), and nothing else of it is used.
"""
