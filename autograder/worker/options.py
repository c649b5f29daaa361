"""What a worker can be told on its command line; the side that starts it loads no torch to know it."""

CONFINED = "--confined"  # this is a sandbox: put walls around each submission too
OTHER_USER = "--other-user"  # no sandbox, but a user of its own: do without what that can be spared
COMPONENTS = "--components="  # and a folder: that of the course's components, as the worker sees it
PRELOAD = "--preload="  # and a component's name, after COMPONENTS: load its adapter now
