// Package web is the reading room: server-rendered pages with a few small scripts of our own, all embedded, that let a radiologist see a
// study with its scores and draft, correct the text and sign it, and let trainers and administrators look after the appliance.
//
// Its promises: nobody sees a study without a session of a user who may; every view and act is in the audit log before it is answered;
// an act comes from our own page (http.CrossOriginProtection) and runs no script but ours (Content-Security-Policy); a text is durable
// once "saved" is shown; nobody overwrites a text that he has not seen; and what no physician has signed says so wherever it is shown.
//
//	appliance.Handle(web.New(appliance, log))
package web
