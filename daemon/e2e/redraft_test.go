package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// TestDraftAgain: a reader has a study drafted again from its page. The newer draft comes by itself, the text stays with the revision that it
// was written on, the page tells of both, and a reader who has not seen that text cannot ask for another draft.
func TestDraftAgain(t *testing.T) {
	n := startNode(t)
	n.addUser("jane", "Doe^Jane^^Dr", password, "signer")
	n.addUser("rita", "Poe^Rita", password, "reader")
	storescu(t, n.port, chestFiles(t, "2024", "Cardiomegaly")...)
	n.settle(1)
	b, site := startBrowser(t), "http://127.0.0.1:"+n.http
	jane, rita := b.visit(site), b.visit(site)
	jane.login("jane", password, "/")
	uid := eval[string](jane, `document.querySelector("tr[data-uid]").dataset.uid`)
	jane.open("/studies/" + uid)
	jane.shows(`body[data-ready]`)
	rita.login("rita", password, "/studies/"+uid)
	rita.shows(`body[data-ready]`)

	jane.keys("e")
	jane.shows(`textarea[data-section=findings]`)
	jane.keys(" Written on the first draft.")
	jane.until(`document.querySelector("#saved").textContent.startsWith("Saved")`)
	ask := `fetch(location.pathname + "/redraft", {method: "POST", headers: {"If-Match": '"0"'}, body: JSON.stringify({revision: 1, findings: "x.", impression: "x.", adapter: "starter"})}).then((a) => a.status)`
	if status := eval[int](rita, ask); status != http.StatusPreconditionFailed {
		t.Errorf("who did not see the text asks for another draft and is answered %d", status)
	}
	if status := eval[int](jane, strings.ReplaceAll(strings.ReplaceAll(ask, `"starter"`, `"nobody"`), `"0"`, `"1"`)); status != http.StatusConflict {
		t.Errorf("an adapter that is not there: %d", status)
	}

	eval[int](jane, `(document.querySelector("#made").open = true, 0)`)
	jane.click(`#redraft button`)
	jane.until(`document.body.dataset.ready === "" && JSON.parse(document.querySelector("#data").textContent).revision === 2`)
	if text := eval[string](jane, `document.querySelector(".texts").innerText`); strings.Contains(text, "Written on the first draft") {
		t.Errorf("the newer draft says %q", text)
	}
	if told := eval[string](jane, `document.querySelector("#priors tbody").textContent + document.querySelector("#banner").innerText`); !strings.Contains(told, "Dr Jane Doe wrote on it") ||
		!strings.Contains(told, "worked on revision 1") || !strings.Contains(told, "the same as this") {
		t.Errorf("of the first draft the page tells %q", told)
	}
	jane.accessible("a study that was drafted twice")
	rita.until(`document.querySelector("#saved").textContent.includes("newer draft, revision 2")`)

	// Rita writes on the newer draft; Jane's text stays where it was.
	rita.open("/studies/" + uid)
	rita.shows(`body[data-ready]`)
	rita.keys("m")
	rita.shows(`textarea[data-section=impression]`)
	rita.keys(" Written on the second draft.")
	rita.until(`document.querySelector("#saved").textContent.startsWith("Saved")`)
	jane.open("/studies/" + uid + "?revision=1")
	jane.shows(`body[data-ready]`)
	if text := eval[string](jane, `document.querySelector(".texts").innerText`); !strings.Contains(text, "Written on the first draft") || strings.Contains(text, "second draft") {
		t.Errorf("the first draft's text is %q", text)
	}
	n.audited(t, "jane redraft "+uid, "rita redraft refused "+uid)
}

// TestDraftAfterTheSignature: a lateral view that comes after its frontal was signed makes a draft that nobody reviewed: the page says so, the study
// waits for its reader again, and the signature on it is a correction of the first.
func TestDraftAfterTheSignature(t *testing.T) {
	pacs, folder := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+pacs)
	n.addUser("jane", "Doe^Jane^^Dr", password, "signer")
	uid, frontal, lateral := phantomStudy(t, 4713)
	storescu(t, n.port, frontal)
	n.settle(1)
	n.signer("jane").does("sign", uid, 0, "The heart is large.", "Cardiomegaly.")
	jane := startBrowser(t).visit("http://127.0.0.1:" + n.http)
	jane.login("jane", password, "/")
	jane.until(`document.querySelector(".empty")`)
	storescu(t, n.port, lateral)
	jane.until(`document.querySelector("tr[data-uid] .status-to-read") && document.querySelector("tr[data-uid]").innerText.includes("drafted again since Dr Jane Doe signed it")`)
	jane.click(`a.open`)
	jane.shows(`body[data-ready]`)
	banner := eval[string](jane, `document.querySelector("#banner").innerText.toUpperCase()`)
	if !strings.Contains(banner, "NOT REVIEWED BY A PHYSICIAN") || strings.Contains(banner, "SIGNED BY") || !strings.Contains(banner, "DR JANE DOE SIGNED REVISION 1") {
		t.Errorf("over the new draft the banner says %q", banner)
	}
	jane.open("/studies/" + uid + "?revision=1")
	jane.shows(`body[data-ready]`)
	if banner := eval[string](jane, `document.querySelector("#banner").innerText`); !strings.Contains(banner, "Signed by Dr Jane Doe") {
		t.Errorf("over the signed text the banner says %q", banner)
	}
	jane.open("/studies/" + uid)
	jane.shows(`body[data-ready]`)
	jane.click(`#reopen`)
	jane.shows(`#sign`)
	jane.signs(t)
	waitFor(t, "both signed reports at the PACS", func() bool { return len(received(t, folder)[uid][basicTextSR]) == 4 })
}
