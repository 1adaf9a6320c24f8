// Package sr writes a draft as DICOM structured reports: the narrative as Basic Text SR (PS3.16, TID 2000), the scores and regions as
// Comprehensive 3D SR (TID 1500, with TID 4019 for the algorithm), both PRELIMINARY and UNVERIFIED (PS3.3, section C.17.2), so that a
// draft can never prevail over a physician's report. What a physician made of a draft and signed is a Basic Text SR that is FINAL,
// COMPLETE and VERIFIED, with the draft as its predecessor.
//
// UIDs are derived from what an object is and says: the same draft gives the same objects, byte for byte.
package sr
