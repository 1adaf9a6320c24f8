package dicomweb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/dicomnet"
	"llamaxr/dicomnet/dicomjson"
	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/part10"
	"llamaxr/ingest/atrest"
)

// Bounds of what another node may answer.
const (
	maxAnswer = 16 << 20
	maxSent   = 256 << 20 // of a file of ours
	maxError  = 300       // bytes of its text that are kept
	maxToken  = 4 << 10
)

// Client stores objects at another node by STOW-RS.
type Client struct {
	URL       string // of the service, for example https://pacs.example/dicom-web
	TokenFile string // whose first line is shown as a bearer token; empty for none. It is read for each request: tokens change
	TLS       *dicomnet.Credentials
	Key       *atrest.Key // opens the files that are sent; nil for plain ones
}

// HTTPError is an answer of another node that tells of no single object.
type HTTPError struct {
	Status int
	Text   string // the beginning of what it said
}

// Error implements error.
func (e *HTTPError) Error() string {
	return strings.TrimRight(fmt.Sprintf("dicomweb: the node answers %d %s: %s", e.Status, http.StatusText(e.Status), e.Text), ": ")
}

// Permanent reports whether the same request will never be taken. What may be mended at the node or in our settings may: a token that is
// not yet known there (401, 403), a service that is being started behind its proxy (404, 502), want of room or time.
func (e *HTTPError) Permanent() bool {
	return slices.Contains([]int{
		http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusConflict, http.StatusGone, http.StatusLengthRequired,
		http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusNotImplemented,
	}, e.Status)
}

// Store sends files in one request. An object that the node refuses is a *dimse.StatusError of its Failure Reason, which has C-STORE's
// values (PS3.18, table I.2-2); one that it has already counts as stored, as by C-STORE.
func (c *Client) Store(ctx context.Context, paths ...string) error {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	var sent []string // SOP Instance UIDs
	for _, path := range paths {
		data, err := c.Key.ReadFile(path, maxSent)
		if err != nil {
			return err
		}
		meta, err := part10.Decode(bytes.NewReader(data))
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		sent = append(sent, meta.SOPInstanceUID)
		part, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/dicom"}})
		if err == nil {
			_, err = part.Write(data)
		}
		if err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	response, err := c.do(ctx, http.MethodPost, "/studies", &body, `multipart/related; type="application/dicom"; boundary=`+w.Boundary())
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("dicomweb: reading the node's answer: %w", err)
	}
	switch response.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusConflict:
		return judge(response, text, sent)
	}
	return &HTTPError{response.StatusCode, string(text[:min(len(text), maxError)])}
}

// judge reads a Store Instances Response Module. A node that says nothing of the objects is believed only when it says 200.
func judge(response *http.Response, text []byte, sent []string) error {
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if kind != dicomjson.MediaType && kind != "application/json" || len(text) == 0 {
		if response.StatusCode == http.StatusOK {
			return nil
		}
		return &HTTPError{response.StatusCode, string(text[:min(len(text), maxError)])}
	}
	answer, err := readAnswer(text)
	if err != nil {
		return err
	}
	var failures []error
	for _, f := range answer.failed {
		if status := (&dimse.StatusError{Status: f.reason}); !status.Stored() {
			failures = append(failures, fmt.Errorf("%s: %w", f.instance, status))
		}
		answer.stored = append(answer.stored, f.instance)
	}
	for _, uid := range sent {
		if !slices.Contains(answer.stored, uid) {
			failures = append(failures, fmt.Errorf("dicomweb: the node answers %d and does not say that it has %s", response.StatusCode, uid))
		}
	}
	return errors.Join(failures...)
}

type answer struct {
	stored []string
	failed []struct {
		instance string
		reason   uint16
	}
}

// readAnswer reads a Store Instances Response Module (PS3.18, annex I).
func readAnswer(text []byte) (a answer, err error) {
	type reference struct {
		Instance struct{ Value []string } `json:"00081155"`
		Reason   struct{ Value []uint16 } `json:"00081197"`
	}
	var module map[string]struct{ Value []json.RawMessage }
	if err := json.Unmarshal(text, &module); err != nil {
		return a, fmt.Errorf("dicomweb: the node's answer: %w", err)
	}
	for _, t := range []tag.Tag{tag.ReferencedSOPSequence, tag.FailedSOPSequence} {
		for _, raw := range module[dicomjson.Key(t)].Value {
			var r reference
			if err := json.Unmarshal(raw, &r); err != nil {
				return a, fmt.Errorf("dicomweb: the node's answer: %w", err)
			}
			instance, reason := "", dimse.ProcessingFailure
			if len(r.Instance.Value) > 0 {
				instance = r.Instance.Value[0]
			}
			if t == tag.ReferencedSOPSequence {
				a.stored = append(a.stored, instance)
				continue
			}
			if len(r.Reason.Value) > 0 {
				reason = r.Reason.Value[0]
			}
			a.failed = append(a.failed, struct {
				instance string
				reason   uint16
			}{instance, reason})
		}
	}
	return a, nil
}

// Echo asks whether the service is there and lets us in.
func (c *Client) Echo(ctx context.Context) error {
	response, err := c.do(ctx, http.MethodGet, "/studies?limit=1", nil, "")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	switch s := response.StatusCode; {
	case s < 300, s == http.StatusNotFound, s == http.StatusMethodNotAllowed, s == http.StatusNotImplemented: // it may only store
		return nil
	default:
		text, _ := io.ReadAll(io.LimitReader(response.Body, maxError))
		return &HTTPError{s, string(text)}
	}
}

// do sends a request, by no proxy and to nowhere else: a redirection would carry reports and token to whom nobody named.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader, kind string) (*http.Response, error) {
	q, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.URL, "/")+path, body)
	if err != nil {
		return nil, err
	}
	q.Header.Set("Accept", dicomjson.MediaType)
	if kind != "" {
		q.Header.Set("Content-Type", kind)
	}
	if c.TokenFile != "" {
		token, err := ReadToken(c.TokenFile)
		if err != nil {
			return nil, err
		}
		q.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	if c.TLS != nil {
		transport.DialTLSContext = c.TLS.DialTLS
	}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(q)
	if err != nil {
		return nil, fmt.Errorf("dicomweb: %w", err)
	}
	return response, nil
}

// ReadToken reads the first line of a file.
func ReadToken(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("dicomweb: token: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxToken))
	if err != nil {
		return "", fmt.Errorf("dicomweb: token: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSpace(line); line == "" {
		return "", fmt.Errorf("dicomweb: token: %s begins with an empty line", filepath.Base(path))
	}
	return line, nil
}
