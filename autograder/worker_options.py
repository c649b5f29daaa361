"""What a worker can be told on its command line; the side that starts it loads no torch to know it."""

NO_FORK = "--no-fork"  # a fresh process for each call
CONFINED = "--confined"  # this is a sandbox: put walls around each submission too
OTHER_USER = "--other-user"  # no sandbox, but a user of its own: do without what that can be spared
PRELOAD = "--preload="  # and a component's name: load its adapter now
