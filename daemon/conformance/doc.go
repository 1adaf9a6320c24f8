// Package conformance writes the DICOM Conformance Statement of the appliance in the form of PS3.2, annex N (the template since edition
// 2023e): the sections and their titles are the template's. Tables come from what the code goes by: SOP classes and transfer syntaxes from
// package dicomnet, defaults and limits from the configuration, character sets from package dicomfile, and the attributes of created
// objects from objects made for the purpose. docs/CONFORMANCE.md is what Write writes; a test fails when it is not.
//
//	err := conformance.Write(os.Stdout)
package conformance
