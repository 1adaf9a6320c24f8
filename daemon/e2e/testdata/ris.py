"""A RIS by python-hl7: listens on PORT, keeps each message in FOLDER as it came, and answers a control identifier's first message with the codes
given, one a message, then AA."""
import asyncio
import os
import sys

import hl7
from hl7.mllp import start_hl7_server

port, folder, codes = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
count = 0


async def talk(reader, writer):
    global count
    try:
        while not writer.is_closing():
            message = await reader.readmessage()
            count += 1
            code = codes.pop(0) if codes else "AA"
            control = str(message.segment("MSH")[10])
            path = os.path.join(folder, f"{count:03d}-{code}-{control}.hl7")
            with open(path + ".part", "wb") as out:
                out.write(str(message).encode("utf-8"))
            os.rename(path + ".part", path)
            answer = message.create_ack(code)
            if code != "AA":
                answer.append(hl7.parse("MSH|^~\\&|\rERR|||207^^HL70357|E\r")[1])
            writer.writemessage(answer)
            await writer.drain()
    except asyncio.IncompleteReadError:
        pass
    finally:
        writer.close()


async def main():
    async with await start_hl7_server(talk, host="127.0.0.1", port=port, encoding="utf-8") as server:
        await server.serve_forever()


asyncio.run(main())
