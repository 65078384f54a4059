"""A cluster of a thousand nodes, simulated: `python -m benchmarks.scaling`.

Discrete events in simulated time. What decides is the project's own: each front
door's `Balancer`, each node's `Admission`, `SessionPool` and `PoolSizer`, and which
nodes a door knows (`subset`). What is simulated is what is around them:

agenda      time: a heap of what is to happen
model       how large, how much, and the statistics of calls
node        a node's shell: sessions start, memory and CPU follow its calls
door        a front door, which hears reports and places calls
health      the singleton that passes reports on
calls       the life of each call, from its arrival to its end
failures    what goes wrong, and when
cluster     all of it together
measures    what is looked at once a second
singletons  messages that each singleton gets, beside what it can take
paper       tables and plots
"""
