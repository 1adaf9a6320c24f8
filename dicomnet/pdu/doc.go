// Package pdu encodes and decodes the protocol data units of the DICOM Upper Layer (PS3.8, section 9.3). Every length a peer sends
// is held against what was really received and against a limit before a byte is allocated for it.
package pdu
