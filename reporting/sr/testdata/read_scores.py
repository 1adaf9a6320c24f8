"""Reads a TID 1500 report with highdicom and prints what it finds: the number of groups, and each planar one with its score."""
import sys

import highdicom as hd
import pydicom

sr = hd.sr.Comprehensive3DSR.from_dataset(pydicom.dcmread(sys.argv[1]))
content = sr.content
planar = content.get_planar_roi_measurement_groups()
whole = content.get_image_measurement_groups()
print("groups", len(planar) + len(whole), "planar", len(planar))
for group in planar:
    value = [m.value for m in group.get_measurements()][0]
    print(group.tracking_identifier, value, group.roi.value.tolist())
