package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/internal/peertest"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// pageTime is how long a page may take on a loaded machine.
const pageTime = 60 * time.Second

// browser is a running Chromium; each reader has a context of his own, with his own cookies.
type browser struct {
	t   testing.TB
	ctx context.Context
}

func startBrowser(t testing.TB) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(peertest.Program(t, "chromium")), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1366, 768),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-quic", true), chromedp.Flag("force-color-profile", "srgb"), chromedp.WSURLReadTimeout(startTime),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() { cancel(); stop() })
	if err := chromedp.Run(ctx); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	return &browser{t, ctx}
}

// reader is a person at a browser.
type reader struct {
	t    testing.TB
	ctx  context.Context
	site string
}

// visit opens a window of 1366 x 768 without cookies.
func (b *browser) visit(site string) *reader {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	b.t.Cleanup(cancel)
	r := &reader{b.t, ctx, site}
	r.run(emulation.SetDeviceMetricsOverride(1366, 768, 1, false))
	return r
}

// run carries out actions, each within pageTime in all.
func (r *reader) run(actions ...chromedp.Action) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, pageTime)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		var page string
		_ = chromedp.Run(r.ctx, chromedp.Evaluate(`location.href + "\n" + document.body.innerText`, &page))
		r.t.Fatalf("%v; the page is %s", err, page)
	}
}

// login logs in and ends on the page that was asked for.
func (r *reader) login(name, password, path string) {
	r.t.Helper()
	r.run(chromedp.Navigate(r.site+path), chromedp.SendKeys(`input[name=name]`, name), chromedp.SendKeys(`input[name=password]`, password),
		chromedp.Submit(`input[name=password]`), chromedp.WaitVisible(`.who`))
}

// eval evaluates an expression of the page; a promise is waited for.
func eval[T any](r *reader, expression string) (out T) {
	r.t.Helper()
	r.run(chromedp.Evaluate(expression, &out, chromedp.EvalAsValue, awaitPromise))
	return out
}

// until waits for an expression of the page to become true.
func (r *reader) until(expression string) {
	r.t.Helper()
	r.run(chromedp.Poll(expression, nil, chromedp.WithPollingTimeout(pageTime)))
}

// accessible holds the page against WCAG 2.2 AA with axe-core.
func (r *reader) accessible(what string) {
	r.t.Helper()
	axe, err := os.ReadFile(peertest.File(r.t, ".cache/node/axe-core@4.14.1/axe.min.js"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.run(chromedp.Evaluate(string(axe)+";0", nil))
	found := eval[string](r, `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then((result) =>
		JSON.stringify(result.violations.map((v) => [v.id, v.help, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + " " + n.failureSummary)])))`)
	if found != "[]" {
		r.t.Errorf("%s is not accessible: %s", what, found)
	}
}

// picture writes what the window shows.
func (r *reader) picture(path string) {
	r.t.Helper()
	var png []byte
	r.run(chromedp.CaptureScreenshot(&png))
	if err := os.WriteFile(path, png, 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// addUser adds a user through the running daemon; the password goes in by standard input.
func (n *node) addUser(name, fullName, password string, roles ...string) {
	n.t.Helper()
	cmd := exec.Command(program, "user", "add", name, "--state", n.state, "--full-name", fullName, "--role", strings.Join(roles, ","))
	cmd.Stdin = strings.NewReader(password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("llamaxr user add: %v\n%s", err, out)
	}
}

// phantomStudy writes a synthetic study and returns its files.
func phantomStudy(t testing.TB, seed string, findings ...string) []string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"phantom", "--out", dir, "--seed", seed}
	for _, f := range findings {
		args = append(args, "--finding", f)
	}
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("phantom: %v\n%s", err, out)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.dcm"))
	return files
}

// jsonOf runs the program and decodes what it prints.
func jsonOf[T any](t testing.TB, args ...string) (out T) {
	t.Helper()
	text, err := exec.Command(program, args...).Output()
	if err != nil {
		t.Fatalf("llamaxr %v: %v", args, err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func awaitPromise(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }
