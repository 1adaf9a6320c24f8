// Package auditmessage makes DICOM audit messages (PS3.15, A.5) of the audit log's entries and sends them by syslog (RFC 5424), over TLS
// (RFC 5425) or UDP (RFC 5426). Its promise: Of gives a message of the tables of A.5.3 or none, and Send over TLS returns nil only when the
// server has taken all of it in.
//
//	message, ok := auditmessage.Of(entry, source, patient)
//	if ok {
//		err = sender.Send(ctx, []auditmessage.Message{message})
//	}
package auditmessage
