"""A server by aiocoap: /who, /echo, /long and the observable /count, behind OSCORE. Prints a line when it listens."""

import asyncio
import json
import sys

from aiocoap import CHANGED, Context, Message, UNAUTHORIZED, resource
from aiocoap.credentials import CredentialsMap
from aiocoap.oscore_sitewrapper import OscoreSiteWrapper
from aiocoap.transports.oscore import OSCOREAddress

from coap_keys import edhoc, shared


def protected(request):
    return isinstance(request.remote, OSCOREAddress)


class Who(resource.Resource):
    async def render_get(self, request):
        if not protected(request):
            return Message(code=UNAUTHORIZED)
        return Message(payload=b"aiocoap")


class Echo(resource.Resource):
    async def render_post(self, request):
        if not protected(request):
            return Message(code=UNAUTHORIZED)
        return Message(code=CHANGED, payload=request.payload)


class Long(resource.Resource):
    async def render_get(self, request):
        return Message(payload=b"x" * 5000)


class Count(resource.ObservableResource):
    def __init__(self):
        super().__init__()
        self.value = 0
        self.task = asyncio.get_running_loop().create_task(self.count())

    async def count(self):
        while True:
            await asyncio.sleep(0.2)
            self.value += 1
            self.updated_state()

    async def render_get(self, request):
        return Message(payload=str(self.value).encode())


async def main():
    setup = json.loads(sys.argv[1])
    credentials = CredentialsMap()
    site = resource.Site()
    site.add_resource(["who"], Who())
    site.add_resource(["echo"], Echo())
    site.add_resource(["long"], Long())
    site.add_resource(["count"], Count())
    if "shared" in setup:
        credentials[":shared"] = shared(setup["shared"])
        credentials[":shared"].authenticated_claims = [":shared"]
    else:
        own = edhoc(setup["own"], setup["peer"], setup["style"])
        credentials[f"coap://127.0.0.1:{setup['port']}/*"] = own
        credentials[":peer"] = own
        own.authenticated_claims = [":peer"]
    context = await Context.create_server_context(
        OscoreSiteWrapper(site, credentials),
        bind=("127.0.0.1", setup["port"]),
        transports=["oscore", "udp6"],
    )
    print("ready", flush=True)
    try:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    finally:
        await context.shutdown()


asyncio.run(main())
