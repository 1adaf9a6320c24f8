package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestScreenshots makes the pictures of docs/ when LLAMAXR_SCREENSHOTS names the folder; see `make screenshots`.
func TestScreenshots(t *testing.T) {
	folder := os.Getenv("LLAMAXR_SCREENSHOTS")
	if folder == "" {
		t.Skip("set LLAMAXR_SCREENSHOTS to a folder")
	}
	port, _ := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	n.addUser("jane", "Doe^Jane^^Dr", "a long password", "signer", "trainer", "admin")
	seeds := []struct {
		seed     string
		findings []string
	}{{"2024", []string{"Cardiomegaly", "Pneumothorax"}}, {"2031", nil}, {"77", []string{"Effusion"}}, {"78", []string{"Mass"}}}
	for _, s := range seeds {
		storescu(t, n.port, chestFiles(t, s.seed, s.findings...)...)
	}
	n.settle(len(seeds))
	r := startBrowser(t).visit("http://127.0.0.1:" + n.http)
	r.login("jane", "a long password", "/")
	r.until(`document.querySelectorAll("tr[data-uid]").length === 4`)
	r.picture(filepath.Join(folder, "worklist.png"))
	uid := eval[string](r, `document.querySelector("tr[data-uid]").dataset.uid`)
	r.click(`a.open`)
	r.shows(`body[data-ready]`)
	r.picture(filepath.Join(folder, "study.png"))
	r.replaces("findings", "A pneumothorax is suspected.", "There is a small right pneumothorax. Healed fracture of a left rib.")
	r.replaces("findings", " No fracture.", "")
	r.replaces("impression", "Possible pneumothorax.", "Small right pneumothorax.")
	r.picture(filepath.Join(folder, "correcting.png"))
	r.keys(kb.Enter, chromedp.KeyModifiers(chromedp.ModifierCtrl))
	r.shows(`#sign-dialog[open]`)
	r.picture(filepath.Join(folder, "signing.png"))
	r.keys(kb.Enter)
	r.until(`document.querySelector("#banner").dataset.state === "signed"`)
	waitFor(t, "the signed report at its destination", func() bool {
		r.open("/studies/" + uid)
		r.shows(`body[data-ready]`)
		return eval[bool](r, `document.querySelector("#history").textContent.includes("Delivered to")`)
	})
	r.picture(filepath.Join(folder, "signed.png"))
	waitFor(t, "the correction to be kept", func() bool {
		kept := jsonOf[struct{ Corrections []any }](t, "corrections", "list", "--state", n.state, "--json")
		return len(kept.Corrections) == 1
	})
	r.open("/learning")
	r.shows(`main`)
	r.picture(filepath.Join(folder, "learning.png"))
}

// replaces edits a section of the report.
func (r *reader) replaces(section, old, text string) {
	r.t.Helper()
	field := fmt.Sprintf(`textarea[data-section=%s]`, section)
	r.click(fmt.Sprintf(`button.edit[data-section=%s]`, section))
	r.shows(field)
	r.until(fmt.Sprintf(`(() => {
		const field = document.querySelector("%s"), before = field.value;
		field.value = before.replace(%q, %q);
		field.dispatchEvent(new InputEvent("input", { bubbles: true }));
		return field.value !== before;
	})()`, field, old, text))
	r.keys(kb.Escape)
	r.until(`document.querySelector("#saved").textContent.startsWith("Saved")`)
}
