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
	if err := chromedp.Do(ctx); err != nil {
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
	if _, err := chromedp.Run(ctx, chromedp.EmulateViewport(1366, 768)); err != nil {
		b.t.Fatal(err)
	}
	return r
}

// run carries out actions, each within pageTime in all.
func (r *reader) run(actions ...chromedp.Action[chromedp.Void]) {
	r.t.Helper()
	do(r, chromedp.Steps(actions...))
}

// do carries out one action and returns what it gives.
func do[T any](r *reader, action chromedp.Action[T]) T {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, pageTime)
	defer cancel()
	out, err := chromedp.Run(ctx, action)
	if err != nil {
		r.t.Fatalf("%v; the page is %s", err, r.page())
	}
	return out
}

// login logs in and ends on the page that was asked for.
func (r *reader) login(name, password, path string) {
	r.t.Helper()
	r.open(path)
	r.run(chromedp.SendKeys(chromedp.CSS(`input[name=name]`), name), chromedp.SendKeys(chromedp.CSS(`input[name=password]`), password+"\r"))
	r.shows(`.who`)
}

// open goes to a page.
func (r *reader) open(path string) { r.t.Helper(); r.run(chromedp.Navigate(r.site + path)) }

// shows waits until something is seen.
func (r *reader) shows(css string) { r.t.Helper(); r.run(chromedp.WaitVisible(chromedp.CSS(css))) }

// click clicks what is seen.
func (r *reader) click(css string) { r.t.Helper(); r.run(chromedp.Click(chromedp.CSS(css))) }

// keys presses keys where the focus is.
func (r *reader) keys(text string, options ...chromedp.KeyOption) {
	r.t.Helper()
	r.run(chromedp.KeyEvent(text, options...))
}

// eval evaluates an expression of the page; a promise is waited for.
func eval[T any](r *reader, expression string) T {
	r.t.Helper()
	return do(r, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// until waits for an expression of the page to become true, over reloads of the page.
func (r *reader) until(expression string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, pageTime)
	defer cancel()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		if err == nil && ok {
			return
		}
		select {
		case <-ctx.Done():
			r.t.Fatalf("waiting for %s: %v; the page is %s", expression, err, r.page())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// page is what the page shows, for a failure's message.
func (r *reader) page() string {
	ctx, cancel := context.WithTimeout(r.ctx, 2*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return text
}

// accessible holds the page against WCAG 2.2 AA with axe-core.
func (r *reader) accessible(what string) {
	r.t.Helper()
	axe, err := os.ReadFile(peertest.File(r.t, ".cache/node/axe-core@4.14.1/axe.min.js"))
	if err != nil {
		r.t.Fatal(err)
	}
	eval[int](r, string(axe)+";0")
	found := eval[string](r, `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then((result) =>
		JSON.stringify(result.violations.map((v) => [v.id, v.help, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + " " + n.failureSummary)])))`)
	if found != "[]" {
		r.t.Errorf("%s is not accessible: %s", what, found)
	}
}

// picture writes what the window shows.
func (r *reader) picture(path string) {
	r.t.Helper()
	if err := os.WriteFile(path, do(r, chromedp.CaptureScreenshot()), 0o644); err != nil {
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

// chestFiles writes a synthetic study and returns its files.
func chestFiles(t testing.TB, seed string, findings ...string) []string {
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
