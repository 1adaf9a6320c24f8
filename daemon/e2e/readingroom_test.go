package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"llamaxr/internal/peertest"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const password = "correct horse battery"

// TestReadingRoom is a morning in the reading room: a study arrives by storescu and appears without a reload, is windowed, corrected and
// signed; a second reader is warned and overwrites nothing; the text survives a crash; a reader without the role cannot sign; the VERIFIED
// report arrives at storescp and at Orthanc, and the correction is kept.
func TestReadingRoom(t *testing.T) {
	port, folder := startStorescp(t)
	archive := startOrthanc(t)
	settings := filepath.Join(t.TempDir(), "llamaxr.yaml")
	if err := os.WriteFile(settings, []byte("organization: Test Hospital\ncritical_findings: [Cardiomegaly]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, "--config", settings, "--destination", "PACS@127.0.0.1:"+port, "--destination", "ORTHANC@127.0.0.1:"+archive.port)
	n.addUser("jane", "Doe^Jane^^Dr", password, "signer")
	n.addUser("bob", "Roe^Bob^^Dr", password, "signer")
	n.addUser("rita", "Poe^Rita", password, "reader")
	b, site := startBrowser(t), "http://127.0.0.1:"+n.http
	jane, bob, rita := b.visit(site), b.visit(site), b.visit(site)

	files := chestFiles(t, "2024", "Cardiomegaly", "Pneumothorax")
	uid := jane.seesArrival(n, files)
	jane.looksAt(uid, files)

	// Bob opens the same study; both are told. Jane's text is kept, Bob's would overwrite it and is not.
	bob.login("bob", password, "/studies/"+uid)
	bob.shows(`body[data-ready]`)
	jane.until(`document.querySelector("#presence").textContent.includes("Dr Bob Roe")`)
	bob.until(`document.querySelector("#presence").textContent.includes("Dr Jane Doe")`)
	jane.keys("e")
	jane.shows(`textarea[data-section=findings]`)
	jane.keys(" The heart is larger than it was drawn.")
	jane.until(`document.querySelector("#saved").textContent.startsWith("Saved")`)
	bob.until(`document.querySelector("#saved").textContent.includes("Dr Jane Doe changed this report")`)
	bob.keys("m")
	bob.shows(`textarea[data-section=impression]`)
	bob.keys(" Bob was here.")
	bob.shows(`#conflict-dialog[open]`)
	bob.accessible("the warning of a second reader")
	bob.click(`#conflict-dialog button[value=theirs]`)
	bob.until(`document.body.dataset.ready === "" && document.querySelector(".text[data-section=findings] ins")`)
	if text := eval[string](bob, `document.querySelector(".report").innerText`); !strings.Contains(text, "larger than it was drawn") || strings.Contains(text, "Bob was here") {
		t.Errorf("Bob sees %q", text)
	}

	// The power fails; what was kept is there.
	n.stop(os.Kill)
	n.start()
	jane.login("jane", password, "/studies/"+uid)
	jane.shows(`body[data-ready]`)
	if text := eval[string](jane, `document.querySelector("ins").textContent`); !strings.Contains(text, "The heart is larger than it was drawn.") {
		t.Errorf("after the crash the text's change is %q", text)
	}

	rita.cannotSign(uid)
	jane.signs(t)

	report := arrives(t, folder, archive, uid)
	if report.completion != "COMPLETE" || report.preliminary != "FINAL" || report.observer != "Doe^Jane^^Dr" || report.organization != "Test Hospital" ||
		report.purpose != "121362" || !strings.Contains(report.text, "The heart is larger than it was drawn.") {
		t.Errorf("the signed report is %+v", report)
	}
	if out, _ := exec.Command(peertest.Program(t, "dciodvfy"), report.path).CombinedOutput(); bytes.Contains(append([]byte("\n"), out...), []byte("\nError")) {
		t.Errorf("the signed report:\n%s", out)
	}
	kept := jsonOf[struct {
		Corrections []struct {
			UID    string `json:"study_instance_uid"`
			Draft  string
			Final  string
			Source string
		}
	}](t, "corrections", "list", "--state", n.state, "--json").Corrections
	if len(kept) != 1 || kept[0].UID != uid || kept[0].Source != "reading room" || kept[0].Final == kept[0].Draft || !strings.Contains(kept[0].Final, "larger than it was drawn") {
		t.Errorf("corrections kept: %+v", kept)
	}
	n.audited(t, "jane log in", "jane view study "+uid, "jane edit report "+uid, "bob edit report refused "+uid, "rita refused "+uid, "jane sign report "+uid)
	if strings.Contains(n.log.String(), "Phantom^") {
		t.Error("a patient's name is in the log")
	}
}

// seesArrival watches the worklist while a study is sent, opens it by the keyboard and returns its UID.
func (r *reader) seesArrival(n *node, files []string) string {
	r.t.Helper()
	r.open("/login")
	r.accessible("the log-in page")
	r.login("jane", password, "/")
	r.until(`document.querySelector(".live.on")`)
	eval[int](r, `window.sameDocument = 1`)
	storescu(r.t, n.port, files...)
	r.until(`document.querySelector("tr[data-uid] .status-to-read")`)
	if eval[int](r, `window.sameDocument || 0`) != 1 {
		r.t.Error("the study appeared by a reload")
	}
	r.accessible("the worklist")
	if why := eval[string](r, `document.querySelector("tr.u2 .why").textContent`); !strings.Contains(why, "Cardiomegaly") {
		r.t.Errorf("the urgent study's reason is %q", why)
	}
	uid := eval[string](r, `document.querySelector("tr[data-uid]").dataset.uid`)
	r.keys(kb.ArrowDown)
	r.keys(kb.Enter)
	r.shows(`body[data-ready]`)
	return uid
}

// looksAt windows and reads the study's page: full depth in the browser, warnings, evidence that lights up.
func (r *reader) looksAt(uid string, files []string) {
	r.t.Helper()
	r.accessible("the study page")
	banner := eval[string](r, `document.querySelector("#banner").innerText.toUpperCase()`)
	for _, want := range []string{"AI DRAFT, NOT REVIEWED BY A PHYSICIAN", "STARTER MODELS - NOT FOR CLINICAL USE"} {
		if !strings.Contains(banner, want) {
			r.t.Errorf("the banner says %q", banner)
		}
	}
	out, err := exec.Command(peertest.Python(r.t), append([]string{"testdata/total.py"}, files...)...).Output()
	if err != nil {
		r.t.Fatal(err)
	}
	total := eval[float64](r, `(async () => {
		const { Picture } = await import(document.querySelector("script[src*=study]").src.replace("study.js", "picture.js"));
		const sop = document.querySelector(".view").dataset.sop;
		const picture = Picture.decode(await (await fetch(location.pathname + "/images/" + sop)).arrayBuffer());
		return picture.levels[0].pixels.reduce((sum, p) => sum + picture.intercept + picture.slope * p, 0);
	})()`)
	if want := strings.Fields(string(out)); strconv.FormatFloat(total, 'f', 0, 64) != want[0] {
		r.t.Errorf("the browser's frontal values sum to %.0f, pydicom's two images to %v", total, want)
	}
	if bottom, window := eval[float64](r, `document.querySelector(".actions").getBoundingClientRect().bottom`), eval[float64](r, `innerHeight`); bottom > window {
		r.t.Errorf("the buttons end at %.0f, the window at %.0f", bottom, window)
	}
	grey := `[...document.querySelector("canvas").getContext("2d").getImageData(document.querySelector("canvas").width / 2, document.querySelector("canvas").height / 3, 1, 1).data].join()`
	before := eval[string](r, grey+` + document.querySelector(".overlay").textContent`)
	r.run(chromedp.MouseEvent(chromedp.MousePressed, 200, 300, chromedp.ButtonLeft), chromedp.MouseEvent(chromedp.MouseMoved, 260, 380, chromedp.ButtonLeft),
		chromedp.MouseEvent(chromedp.MouseReleased, 260, 380, chromedp.ButtonLeft))
	r.until(grey + ` + document.querySelector(".overlay").textContent !== ` + strconv.Quote(before))
	r.keys("0")
	r.pointsAtEvidence()
	r.seesPixels()
	r.keys("?")
	r.shows(`#help[open]`)
	r.keys(kb.Escape)
	r.until(`!document.querySelector("#help[open]")`)
	r.run(chromedp.EmulateViewport(820, 1180))
	if cut := eval[string](r, `[...document.querySelectorAll(".bar > *, .patient > *")].filter((e) => e.getBoundingClientRect().right > innerWidth).map((e) => e.textContent.trim()).join()`); cut != "" {
		r.t.Errorf("a tablet cuts off %s", cut)
	}
	r.run(chromedp.EmulateViewport(1366, 768))
	r.t.Log(eval[string](r, `(() => {
		const paint = performance.getEntriesByName("first-contentful-paint")[0], images = performance.getEntriesByType("resource").filter((e) => e.name.includes("/images/")).slice(0, 2);
		return "first paint " + Math.round(paint.startTime) + " ms, images after " + images.map((e) => Math.round(e.responseEnd)).join(" and ") + " ms";
	})()`))
}

// pointsAtEvidence moves the mouse over a sentence, its finding's row and its region on the frontal view: each lights the other two.
func (r *reader) pointsAtEvidence() {
	r.t.Helper()
	place := eval[struct{ Sentence, Row, Region, Edge [2]float64 }](r, `(() => {
		const middle = (element) => { const b = element.getClientRects()[0]; return [b.x + b.width / 2, b.y + b.height / 2]; };
		const { maps } = JSON.parse(document.querySelector("#data").textContent), canvas = document.querySelector(".view canvas"), box = canvas.getBoundingClientRect();
		const { Left, Top, Right, Bottom } = maps.find((m) => m.view === "frontal" && m.finding === "cardiomegaly").region;
		const scale = Math.min(canvas.width, canvas.height) / 768, at = (column, row) => [canvas.width / 2 + (column - 384) * scale, canvas.height / 2 + (row - 384) * scale];
		const [x, y] = at((Left + Right) / 2, Bottom - 20);
		return {
			Sentence: middle([...document.querySelectorAll(".sentence")].find((s) => s.says.some((x) => x.finding === "cardiomegaly"))),
			Row: middle(document.querySelector("[data-finding=cardiomegaly]")), Region: [box.x + x, box.y + y], Edge: at((Left + Right) / 2, Bottom),
		};
	})()`)
	for what, at := range map[string][2]float64{"sentence": place.Sentence, "row": place.Row, "region": place.Region} {
		r.run(chromedp.MouseEvent(chromedp.MouseMoved, 5, 5, chromedp.ButtonNone))
		r.until(`!document.querySelector(".lit")`)
		r.run(chromedp.MouseEvent(chromedp.MouseMoved, at[0], at[1], chromedp.ButtonNone))
		r.until(fmt.Sprintf(`"pointed at the %s" && document.querySelector(".row.lit")?.dataset.finding === "cardiomegaly"
			&& [...document.querySelectorAll(".sentence")].every((s) => s.classList.contains("lit") === s.says.some((x) => x.finding === "cardiomegaly"))
			&& [...document.querySelector(".view canvas").getContext("2d").getImageData(%f, %f, 1, 1).data].join() === "255,198,107,255"`, what, place.Edge[0], place.Edge[1]))
	}
	r.run(chromedp.MouseEvent(chromedp.MouseMoved, 5, 5, chromedp.ButtonNone))
}

// seesPixels: at 1:1 each pixel of the screen is one of the image, wherever the image was moved to; the page calls it 100 %, on a finer screen too.
func (r *reader) seesPixels() {
	r.t.Helper()
	wrong := eval[int](r, `(async () => {
		const { Picture } = await import(document.querySelector("script[src*=study]").src.replace("study.js", "picture.js"));
		const picture = Picture.decode(await (await fetch(location.pathname + "/images/" + document.querySelector(".view").dataset.sop)).arrayBuffer());
		const context = new OffscreenCanvas(300, 200).getContext("2d"), table = picture.table();
		let wrong = 0;
		for (const [x, y] of [[0, 0], [100.5, 200.5], [100.25, 200.75]]) {
			picture.draw(context, 1, x, y);
			const shown = new Uint32Array(context.getImageData(0, 0, 300, 200).data.buffer);
			const differ = [0, 1].flatMap((dx) => [0, 1].map((dy) => {
				let n = 0;
				for (let v = 0; v < 199; v++) for (let u = 0; u < 299; u++) n += shown[v * 300 + u] !== table[picture.levels[0].pixels[(Math.floor(y) + v + dy) * picture.columns + Math.floor(x) + u + dx]];
				return n;
			}));
			wrong += Math.min(...differ);
		}
		return wrong;
	})()`)
	if wrong != 0 {
		r.t.Errorf("at 1:1 %d pixels are not those of the image", wrong)
	}
	r.keys("1")
	r.until(`document.querySelector(".overlay").textContent.endsWith("· 100 %")`)
	r.run(chromedp.EmulateViewport(1366, 768, chromedp.EmulateScale(2)))
	r.until(`devicePixelRatio === 2`)
	r.keys("1")
	r.until(`document.querySelector(".overlay").textContent.endsWith("· 100 %")`)
	r.run(chromedp.EmulateViewport(1366, 768))
	r.keys("0")
}

// cannotSign tries to sign without the role, by the page and past it.
func (r *reader) cannotSign(uid string) {
	r.t.Helper()
	r.login("rita", password, "/studies/"+uid)
	r.shows(`#cannot-sign`)
	if eval[bool](r, `document.querySelector("#sign") !== null`) {
		r.t.Error("a reader is offered to sign")
	}
	status := eval[int](r, `fetch(location.pathname + "/sign", {method: "POST", headers: {"If-Match": '"1"'}, body: JSON.stringify({revision: 1, findings: "x.", impression: "x."})}).then((a) => a.status)`)
	if status != http.StatusForbidden {
		r.t.Errorf("a reader who signs is answered %d", status)
	}
}

// signs accepts all with the keyboard.
func (r *reader) signs(t testing.TB) {
	t.Helper()
	r.keys(kb.Enter, chromedp.KeyModifiers(chromedp.ModifierCtrl))
	r.shows(`#sign-dialog[open]`)
	r.accessible("the dialog of signing")
	r.keys(kb.Enter)
	r.until(`document.querySelector("#banner").dataset.state === "signed"`)
	for _, when := range []string{"after signing", "to who opens the study later"} {
		if banner := eval[string](r, `document.querySelector("#banner").innerText`); !strings.Contains(banner, "Signed by Dr Jane Doe") || strings.Contains(strings.ToUpper(banner), "NOT REVIEWED") {
			t.Errorf("%s the banner says %q", when, banner)
		}
		r.open(eval[string](r, `location.pathname`))
		r.shows(`body[data-ready]`)
	}
	r.accessible("a signed study")
}

// verified is a signed report as pydicom reads it.
type verified struct {
	path, uid, completion, preliminary, observer, organization, predecessor, purpose, text string
}

// arrives waits for a study's signed report at both destinations.
func arrives(t testing.TB, folder string, archive orthanc, uid string) verified {
	t.Helper()
	deadline := time.Now().Add(draftTime)
	for {
		narratives := received(t, folder)[uid][basicTextSR]
		if len(narratives) == 2 && archive.studies(t)[uid][basicTextSR] == 2 {
			out, err := exec.Command(peertest.Python(t), append([]string{"testdata/verified.py"}, narratives...)...).Output()
			if err != nil {
				t.Fatal(err)
			}
			part := strings.Split(strings.TrimSpace(string(out)), "\t")
			if len(part) != 9 {
				t.Fatalf("signed reports among %v: %q", narratives, out)
			}
			report := verified{part[0], part[1], part[2], part[3], part[4], part[5], part[6], part[7], part[8]}
			if !strings.Contains(strings.Join(narratives, " "), report.predecessor) {
				t.Errorf("the predecessor %s is not the draft", report.predecessor)
			}
			return report
		}
		if time.Now().After(deadline) {
			t.Fatalf("narratives at storescp %v, Orthanc holds %v", narratives, archive.studies(t)[uid])
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// audited checks that acts are in the audit log and that its chain holds. Each is user, act and study apart by spaces.
func (n *node) audited(t testing.TB, want ...string) {
	t.Helper()
	if out, err := exec.Command(program, "audit", "verify", "--state", n.state).CombinedOutput(); err != nil {
		t.Errorf("llamaxr audit verify: %v\n%s", err, out)
	}
	out, err := exec.Command(program, "audit", "list", "--state", n.state).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range want {
		found := false
		for line := range strings.Lines(string(out)) {
			all := true
			for _, word := range strings.Fields(entry) {
				all = all && strings.Contains(line, word)
			}
			found = found || all
		}
		if !found {
			t.Errorf("no %q in the audit log:\n%s", entry, out)
		}
	}
}

// TestPageLeftOpen: a report that is reopened is shown as one that stands, and is not to be rejected; a phrase keeps what was just typed, and the draft takes nothing
// away unasked. The page does nothing any more once somebody else has logged in in the same browser.
func TestPageLeftOpen(t *testing.T) {
	n := startNode(t)
	n.addUser("jane", "Doe^Jane^^Dr", password, "signer")
	n.addUser("bob", "Roe^Bob^^Dr", password, "signer")
	storescu(t, n.port, chestFiles(t, "2024", "Cardiomegaly")...)
	n.settle(1)
	jane := startBrowser(t).visit("http://127.0.0.1:" + n.http)
	jane.login("jane", password, "/")
	jane.click(`a.open`)
	jane.shows(`body[data-ready]`)
	jane.signs(t)
	jane.click(`#reopen`)
	jane.until(`document.querySelector("#banner").innerText.includes("stands until it is signed anew") && document.querySelector("#reject").hidden`)
	if banner := eval[string](jane, `document.querySelector("#banner").innerText.toUpperCase()`); strings.Contains(banner, "NOT REVIEWED") {
		t.Errorf("over the report that stands the banner says %q", banner)
	}
	jane.accessible("a report that is reopened")

	jane.click(`[data-finding=cardiomegaly]`)
	jane.shows(`#phrases button`)
	jane.click(`.edit[data-section=findings]`)
	jane.shows(`textarea[data-section=findings]`)
	jane.keys(" Typed just now.")
	phrase := eval[string](jane, `(() => { const b = [...document.querySelectorAll("#phrases button")].at(-1); b.click(); return b.textContent; })()`)
	written := `document.querySelector("textarea[data-section=findings]").value`
	jane.until(fmt.Sprintf(`%s.includes("Typed just now.") && %[1]s.includes(%q) && document.querySelector("#saved").textContent.startsWith("Saved")`, written, phrase))
	jane.click(`#restore`)
	jane.shows(`#restore-dialog[open]`)
	jane.accessible("the dialog of restoring the draft")
	jane.keys(kb.Enter)
	jane.until(`!document.querySelector("dialog[open]")`)
	if text := eval[string](jane, written); !strings.Contains(text, "Typed just now.") {
		t.Errorf("the draft was put back unasked: %q", text)
	}

	status := eval[int](jane, `fetch("/login", {method: "POST", body: new URLSearchParams({name: "bob", password: "`+password+`"})}).then((a) => a.status)`)
	jane.until(`document.querySelector("#stranger").innerText.includes("Dr Bob Roe is logged in now") && document.querySelector("#sign").hidden`)
	jane.keys(kb.Enter, chromedp.KeyModifiers(chromedp.ModifierCtrl))
	if eval[bool](jane, `document.querySelector("dialog[open]") !== null`) {
		t.Errorf("bob, who is logged in (%d), is asked to sign jane's page", status)
	}
	jane.open("/")
	jane.shows(`tr[data-uid], .empty`)
}
