// Package dicomscan reads DICOM files within bounds (PS3.5, PS3.10): every length is held against the bytes that are there, nesting
// and counts are limited, and nothing is allocated because a file says so. Pixel data is located, not loaded.
//
//	file, err := dicomscan.Open(path)
//	defer file.Close()
//	rows := file.Int(dicomscan.Rows)
package dicomscan
