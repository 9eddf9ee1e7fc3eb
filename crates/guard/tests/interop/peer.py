"""A storage SCU and SCP on pynetdicom that name data sets by the SHA-256 of their encoded bytes.

peer.py scp TITLE PORT DIRECTORY       an empty file named by the digest for each data set that came
peer.py make DIRECTORY COUNT          CT images of 525 kB
peer.py scu CALLING CALLED PORT FILE…  prints the digest of each data set it sent
"""
import hashlib
import sys
from pathlib import Path

from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.dsutils import encode


def digest(data):
    return hashlib.sha256(data).hexdigest()


def scp(title, port, directory):
    def store(event):
        (Path(directory) / digest(event.request.DataSet.getvalue())).touch()
        return 0x0000

    ae = AE(ae_title=title)
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(context.abstract_syntax, AllTransferSyntaxes)
    ae.start_server(("127.0.0.1", int(port)), evt_handlers=[(evt.EVT_C_STORE, store)])


def scu(calling, called, port, *files):
    data_sets = [dcmread(file) for file in files]
    ae = AE(ae_title=calling)
    for data_set in data_sets:
        ae.add_requested_context(data_set.file_meta.MediaStorageSOPClassUID, data_set.file_meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", int(port), ae_title=called)
    if not association.is_established:
        sys.exit("no association")
    for data_set in data_sets:
        status = association.send_c_store(data_set)
        if getattr(status, "Status", None) != 0x0000:
            sys.exit(f"not stored: {status}")
        syntax = data_set.file_meta.TransferSyntaxUID
        print(digest(encode(data_set, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)))
    association.release()


def make(directory, count):
    image = dcmread(get_testdata_file("CT_small.dcm"))
    image.Rows = image.Columns = 512
    image.PixelData = bytes(range(256)) * 2048
    for number in range(int(count)):
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{number}"
        image.save_as(Path(directory) / f"{number}.dcm")


{"make": make, "scp": scp, "scu": scu}[sys.argv[1]](*sys.argv[2:])
