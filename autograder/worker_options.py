"""What a worker can be told on its command line; the side that starts it loads no torch to know it."""

NO_FORK = "--no-fork"  # a fresh process for each call
CONFINED = "--confined"  # this is a sandbox: put walls around each submission too
PRELOAD = "--preload="  # and a component's name: load its adapter now
