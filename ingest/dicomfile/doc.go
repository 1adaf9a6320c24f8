// Package dicomfile reads DICOM Part 10 files that anyone may have sent: it admits what is sound, within limits, and says
// where and why it refuses the rest.
//
// Reading has two steps. A structural scan of our own (scan.go) walks every element of the file (PS3.5 section 7), whatever
// its encoding (implicit and explicit VR little endian, explicit VR big endian, deflated), checks each declared length
// against the bytes that are really there, bounds depth, counts and text, and notes where Pixel Data lies without loading it
// (PS3.5 A.4 for fragments and the Basic Offset Table). What the scan admits it writes out as plain Explicit VR Little Endian
// without pixel data, and only that goes to github.com/suyashkumar/dicom, which parses the attributes: its allocations follow
// declared lengths, so it must never see a length nobody checked.
//
// The same scan rewrites a whole data set as Explicit VR Little Endian, for readers of the web (rewrite.go).
//
// The scan reads some files that the library refuses when given them as they are: files without a File Meta group or
// Transfer Syntax UID (PS3.10 7.1), a body encoded otherwise than the meta group says, elements of VR UN and undefined length
// (PS3.5 6.2.2), VRs newer than the library knows (OV, SV, UV), several character sets with code extensions (PS3.5 6.1.2.5).
//
// Promises: no panic, no allocation from a declared length, time and memory in proportion to the file's bytes (and for
// deflated files to MaxInflated); every refusal is an *Error that names offset, element and cause and wraps one of the Err
// values.
//
//	f, err := dicomfile.Open("study.dcm")
//	if err != nil { ... }
//	defer f.Close()
//	rows, err := f.Ints(tag.Rows)
package dicomfile
