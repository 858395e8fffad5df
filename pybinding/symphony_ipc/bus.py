# SPDX-License-Identifier: MIT
"""The Conductor's side: one object that calls any extension by its id."""

from . import _symphony


class IPCBus(_symphony.Bus):
    """The Pit in this process, and an endpoint that reaches all other processes.

    name       the bus; default: $SYMPHONY_BUS, or else "symphony-UID"
    owner      uid of the user whose bus it is, or "any"; default: this process's own,
               or, of $SYMPHONY_BUS, $SYMPHONY_BUS_OWNER
    pit        False: no Pit of its own, only calls to other processes
    config     {member: configuration} for the Pit
    plugins    paths of shared objects to load into the Pit
    threads    how many threads serve the Pit to other processes after start()
    device     default: /dev/symphony
    pool_size  bytes of receive pool, default: the module's

    A bus is created with these; one that is there has to have as much:

    mode       permissions, default: 0o600; r joins and calls, w also claims
    grants     True: claiming any id on it needs a grant, see grant()
    reserve    ids that need one; where it is created, so do those of the Pit

    A bus of another user than the owner is refused with errors.NotPermitted, and one
    that protects less with a BusError (EEXIST), before anything is sent to it.

    A message is any JSON value; bytes travel as they are, to extensions in
    other processes only. Every failure is an errors.BusError.
    """

    async def start(self):
        """Initialize, and serve the Pit to other processes if there is a device."""
        self.serve_pit()

    def route(self, extension_id, policy, **options):
        """Let a policy decide about the calls of an extension; None: of all on this bus.

        policy   one of router.POLICIES, or the path of an object file of your own
        options  the policy's: percent=5; for an acl, allow=["UID:CALLER:ID", ...]

        Returns a router.Router, which is to be kept: without it, the policy ends.
        Needs root, and libsymphony-bpf. docs/policies.md has the policies.
        """
        # Here, as only who routes needs libbpf.
        from . import router

        return router.attach(self.name, extension_id, policy, options)

    def __getitem__(self, extension_id):
        """The extension as an object: await bus["pool_manager"].acquire(model="m")."""
        return Remote(self, extension_id)

    def __enter__(self):
        self.initialize()
        return self

    def __exit__(self, *exc):
        self.close()

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *exc):
        self.close()

    def __repr__(self):
        return f"<symphony_ipc.IPCBus {self.name or ''} endpoint={self.endpoint}>"


class Remote:
    """An extension whose methods are called like methods.

    bus["x"].method(a=1) sends {"method": "method", "params": {"a": 1}} and is
    awaited. Options of send_message() are set by calling it first:
    bus["x"](timeout=5).method(a=1).
    """

    def __init__(self, bus, extension_id, options=None):
        self._bus = bus
        self._id = extension_id
        self._options = options or {}

    def __call__(self, **options):
        return Remote(self._bus, self._id, {**self._options, **options})

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        send, extension_id, options = self._bus.send_message, self._id, self._options

        if options:
            def method(**params):
                return send(extension_id, {"method": name, "params": params}, **options)
        else:
            def method(**params):
                return send(extension_id, {"method": name, "params": params})

        method.__name__ = name
        # Found without __getattr__ from now on.
        self.__dict__[name] = method
        return method

    def __repr__(self):
        return f"<symphony_ipc.Remote {self._id}>"
