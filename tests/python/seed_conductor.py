# conductor.py
import symphony_ipc  # This is the PyO3 module for the Rust IPC bus

class Conductor:
    def __init__(self):
        # Load the Rust IPC bus and initialize it
        self.ipc_bus = symphony_ipc.IPCBus()
        self.ipc_bus.initialize()

    async def start(self):
        # Start the IPC bus (which loads the Pit extensions and starts the IPC server)
        await self.ipc_bus.start()

    async def call_extension(self, extension_id, message):
        return await self.ipc_bus.send_message(extension_id, message)
