"""A FHIR server and a webhook's receiver on PORT. /fhir takes transactions that fhir.resources finds valid, with the bearer token TOKEN, and /hook
events that standardwebhooks believes under SECRET; the first request to each is answered 503. What is taken goes to FOLDER: fhir.json holds the resources
by their URLs, hook.jsonl an event a line with its identifier."""
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

from fhir.resources.R4B.bundle import Bundle
from standardwebhooks import Webhook

port, folder, token, secret = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
lock, seen, resources = Lock(), set(), {}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with lock:
            status = self.take(body)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def take(self, body):
        if self.path not in seen:
            seen.add(self.path)
            return 503
        if self.path == "/fhir":
            if self.headers["Authorization"] != "Bearer " + token or self.headers["Content-Type"] != "application/fhir+json":
                return 401
            bundle = Bundle.model_validate_json(body)
            for entry in bundle.entry:
                resources.setdefault(entry.request.url, []).append(json.loads(entry.resource.model_dump_json()))
            with open(os.path.join(folder, "fhir.part"), "w") as out:
                json.dump(resources, out)
            os.rename(os.path.join(folder, "fhir.part"), os.path.join(folder, "fhir.json"))
            return 200
        event = Webhook(secret).verify(body, dict(self.headers))
        with open(os.path.join(folder, "hook.jsonl"), "a") as out:
            out.write(json.dumps({"id": self.headers["webhook-id"], **event}) + "\n")
        return 204

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
