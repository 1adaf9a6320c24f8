package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"llamaxr/internal/peertest"
)

// collector keeps what comes to an OTLP/HTTP endpoint.
type collector struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
}

func startCollector(t testing.TB) *collector {
	t.Helper()
	c := new(collector)
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil || q.URL.Path != "/v1/traces" || q.Header.Get("Content-Type") != "application/json" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		c.bodies = append(c.bodies, string(body))
		c.mu.Unlock()
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(c.Close)
	return c
}

// readOTLP reads requests, one a line, as OpenTelemetry's own messages (a field it does not know is an error) and prints the names of the
// spans of the one trace, after holding them together: one root, every other span its child, ends after beginnings.
const readOTLP = `
import base64, json, sys
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
def binary(s): # OTLP has identifiers in hexadecimal, the protobuf mapping in base64
    for k in ("traceId", "spanId", "parentSpanId"):
        if k in s: s[k] = base64.b64encode(bytes.fromhex(s[k])).decode()
spans = []
for line in sys.stdin:
    d = json.loads(line)
    for r in d["resourceSpans"]:
        for sc in r["scopeSpans"]:
            for s in sc["spans"]: binary(s)
    m = json_format.ParseDict(d, ExportTraceServiceRequest())
    spans += [s for r in m.resource_spans for sc in r.scope_spans for s in sc.spans]
assert len({s.trace_id for s in spans}) == 1 and all(len(s.trace_id) == 16 and len(s.span_id) == 8 for s in spans)
roots = [s for s in spans if not s.parent_span_id]
assert len(roots) == 1, roots
assert all(s.parent_span_id == roots[0].span_id for s in spans if s is not roots[0])
assert len({s.span_id for s in spans}) == len(spans)
assert all(0 < s.start_time_unix_nano <= s.end_time_unix_nano for s in spans)
print(" ".join(sorted({s.name.replace(" ", "-") + ("!" if s.status.code == 2 else "") for s in spans})))
`

// traces checks what came and returns it as text.
func (c *collector) traces(t testing.TB) string {
	t.Helper()
	c.mu.Lock()
	text := strings.Join(c.bodies, "\n")
	c.mu.Unlock()
	cmd := exec.Command(peertest.Python(t), "-c", readOTLP)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	if want := "association complete deliver deliver! draft examine report study-received"; err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("traces: %v, got %s, want %s", err, out, want)
	}
	return text
}
