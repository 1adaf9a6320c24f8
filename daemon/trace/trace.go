// Package trace tells an OpenTelemetry collector what happened to a study when, from association to delivery: OTLP over HTTP with JSON
// (opentelemetry.io/docs/specs/otlp, stable since 1.0). It is written here because the SDK with its exporter would add 11 MB.
//
// Identifiers derive from the Study Instance UID under the site's own key, so that the spans of a study join without anything being handed
// on, across restarts too, and nobody else can tell which study it is. What the collector does not take is dropped: tracing never holds up
// a study.
package trace

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Limits of an exporter.
const (
	maxWaiting = 2048 // spans
	maxBatch   = 256
	sendEvery  = time.Second
	sendTime   = 5 * time.Second
)

// Span is one thing that was done for a study.
type Span struct {
	Study      string // Study Instance UID; it is not sent
	Key        string // what the span is, unlike any other of the study; empty is the root
	Name       string
	Start, End time.Time
	Failed     bool
	Attributes map[string]string
}

// Exporter sends spans to a collector. A nil one does nothing.
type Exporter struct {
	url, version string
	key          []byte
	spans        chan Span
	told         func(sent, dropped int)
}

// New returns an exporter to an endpoint such as http://collector:4318; told hears what became of spans. Run sends.
func New(endpoint, version string, key []byte, told func(sent, dropped int)) *Exporter {
	return &Exporter{strings.TrimSuffix(endpoint, "/") + "/v1/traces", version, key, make(chan Span, maxWaiting), told}
}

// Add takes a span without waiting.
func (e *Exporter) Add(s Span) {
	if e == nil {
		return
	}
	select {
	case e.spans <- s:
	default:
		e.told(0, 1)
	}
}

// Run sends what was added until ctx is cancelled, then the rest.
func (e *Exporter) Run(ctx context.Context) {
	if e == nil {
		return
	}
	tick := time.NewTicker(sendEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		for e.batch() {
		}
	}
}

// batch sends some of what waits and reports whether there may be more.
func (e *Exporter) batch() bool {
	var spans []Span
collect:
	for len(spans) < maxBatch {
		select {
		case s := <-e.spans:
			spans = append(spans, s)
		default:
			break collect
		}
	}
	if len(spans) == 0 {
		return false
	}
	if err := e.send(spans); err != nil {
		e.told(0, len(spans))
	} else {
		e.told(len(spans), 0)
	}
	return len(spans) == maxBatch
}

func (e *Exporter) send(spans []Span) error {
	body, err := json.Marshal(e.request(spans))
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), sendTime)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	q.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<16))
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("trace: the collector answers %s", answer.Status)
	}
	return nil
}

// id derives an identifier of n bytes, hexadecimal.
func (e *Exporter) id(n int, parts ...string) string {
	mac := hmac.New(sha256.New, e.key)
	mac.Write([]byte("trace\x00" + strings.Join(parts, "\x00")))
	return hex.EncodeToString(mac.Sum(nil)[:n])
}

// The parts of an ExportTraceServiceRequest that are used (opentelemetry-proto, trace/v1).
type (
	value     map[string]string
	attribute struct {
		Key   string `json:"key"`
		Value value  `json:"value"`
	}
	span struct {
		TraceID    string         `json:"traceId"`
		SpanID     string         `json:"spanId"`
		Parent     string         `json:"parentSpanId,omitempty"`
		Name       string         `json:"name"`
		Kind       int            `json:"kind"`
		Start      string         `json:"startTimeUnixNano"`
		End        string         `json:"endTimeUnixNano"`
		Attributes []attribute    `json:"attributes,omitempty"`
		Status     map[string]int `json:"status"`
	}
)

const (
	kindInternal = 1
	statusOK     = 1
	statusError  = 2
)

func (e *Exporter) request(spans []Span) any {
	var out []span
	for _, s := range spans {
		o := span{
			TraceID: e.id(16, s.Study), SpanID: e.id(8, s.Study, s.Key), Name: s.Name, Kind: kindInternal,
			Start: strconv.FormatInt(s.Start.UnixNano(), 10), End: strconv.FormatInt(s.End.UnixNano(), 10), Status: map[string]int{"code": statusOK},
		}
		if s.Key != "" {
			o.Parent = e.id(8, s.Study, "")
		}
		if s.Failed {
			o.Status["code"] = statusError
		}
		for key, text := range s.Attributes {
			o.Attributes = append(o.Attributes, attribute{key, value{"stringValue": text}})
		}
		out = append(out, o)
	}
	about := []attribute{{"service.name", value{"stringValue": "llamaxr"}}, {"service.version", value{"stringValue": e.version}}}
	return map[string]any{"resourceSpans": []any{map[string]any{
		"resource":   map[string]any{"attributes": about},
		"scopeSpans": []any{map[string]any{"scope": map[string]string{"name": "llamaxr"}, "spans": out}},
	}}}
}
