"""A client by aiocoap. Does what its argument says and prints what came of each step, one JSON object a line."""

import asyncio
import json
import sys

from aiocoap import GET, POST, Context, Message

from coap_keys import edhoc, shared


def told(response):
    return {"code": response.code.dotted, "payload": response.payload.hex()}


async def step(context, uri, what):
    method = POST if "post" in what else GET
    message = Message(code=method, uri=uri + what["path"], payload=bytes.fromhex(what.get("post", "")))
    if "observe" not in what:
        print(json.dumps(told(await context.request(message).response)), flush=True)
        return
    message.opt.observe = 0
    request = context.request(message)
    print(json.dumps(told(await request.response)), flush=True)
    seen = 0
    async for notification in request.observation:
        print(json.dumps(told(notification)), flush=True)
        seen += 1
        if seen == what["observe"]:
            request.observation.cancel()
            return


async def main():
    setup = json.loads(sys.argv[1])
    context = await Context.create_client_context(transports=["oscore", "udp6"])
    if "shared" in setup:
        credentials = shared(setup["shared"])
    else:
        credentials = edhoc(setup["own"], setup["peer"], setup["style"], setup["combined"])
    context.client_credentials[setup["uri"] + "/*"] = credentials
    for what in setup["steps"]:
        try:
            await step(context, setup["uri"], what)
        except Exception as error:
            print(json.dumps({"error": repr(error)}), flush=True)
    await context.shutdown()


asyncio.run(main())
