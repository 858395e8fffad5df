import symphony_ipc

class Conductor:
    def __init__(self):
        self.ipc_bus = symphony_ipc.IPCBus()
        self.ipc_bus.initialize()

    async def call_extension(self, extension_id, message):
        return await self.ipc_bus.send_message(extension_id, message)
