package dicomscan

// Tags of the image pixel module and of grey levels.
const (
	SamplesPerPixel      Tag = 0x00280002
	Photometric          Tag = 0x00280004
	PlanarConfiguration  Tag = 0x00280006
	NumberOfFrames       Tag = 0x00280008
	Rows                 Tag = 0x00280010
	Columns              Tag = 0x00280011
	BitsAllocated        Tag = 0x00280100
	BitsStored           Tag = 0x00280101
	HighBit              Tag = 0x00280102
	PixelRepresentation  Tag = 0x00280103
	PixelPaddingValue    Tag = 0x00280120
	PixelPaddingLimit    Tag = 0x00280121
	WindowCenter         Tag = 0x00281050
	WindowWidth          Tag = 0x00281051
	VOILUTFunction       Tag = 0x00281056
	RescaleIntercept     Tag = 0x00281052
	RescaleSlope         Tag = 0x00281053
	ModalityLUTSequence  Tag = 0x00283000
	LUTDescriptor        Tag = 0x00283002
	LUTData              Tag = 0x00283006
	VOILUTSequence       Tag = 0x00283010
	PresentationLUTShape Tag = 0x20500020
	LossyCompression     Tag = 0x00282110
)

// implicitVRs are the VRs of the elements that we read as numbers or sequences: an implicit data set does not name them.
var implicitVRs = map[Tag]string{
	SamplesPerPixel: "US", PlanarConfiguration: "US", Rows: "US", Columns: "US", BitsAllocated: "US", BitsStored: "US", HighBit: "US",
	PixelRepresentation: "US", PixelPaddingValue: "US", PixelPaddingLimit: "US", LUTDescriptor: "US", LUTData: "OW",
	ModalityLUTSequence: "SQ", VOILUTSequence: "SQ", PixelData: "OW",
	0x00081032: "SQ", 0x00082112: "SQ", 0x00082218: "SQ", 0x00082228: "SQ", 0x00321064: "SQ", 0x00400275: "SQ", 0x00540220: "SQ",
	0x00540222: "SQ", 0x00081110: "SQ", 0x00081111: "SQ", 0x00081140: "SQ", 0x0040A730: "SQ", 0x0040A043: "SQ", 0x0040A375: "SQ",
}

// implicitVR returns the VR of an element of an implicit data set; items of sequences we do not know are found by their length alone.
func implicitVR(t Tag) string {
	if vr, ok := implicitVRs[t]; ok {
		return vr
	}
	return "UN"
}
