"""Storage commitment and modality performed procedure steps on pynetdicom.

services.py scp TITLE PORT             takes steps, and answers each commitment with an event report
services.py scu CALLING CALLED PORT    asks for both, and prints what was done
"""
import sys
import threading

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    ModalityPerformedProcedureStep,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

CLASSES = [ModalityPerformedProcedureStep, StorageCommitmentPushModel]


def scp(title, port):
    def report(association, request):
        association.send_n_event_report(
            request, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )

    def action(event):
        # After the answer to the action, in the same association.
        threading.Timer(0.3, report, (event.assoc, event.action_information)).start()
        return 0x0000, None

    handlers = [
        (evt.EVT_N_ACTION, action),
        (evt.EVT_N_CREATE, lambda event: (0x0000, event.attribute_list)),
        (evt.EVT_N_SET, lambda event: (0x0000, event.modification_list)),
    ]
    ae = AE(ae_title=title)
    for sop_class in CLASSES:
        ae.add_supported_context(sop_class)
    ae.start_server(("127.0.0.1", int(port)), evt_handlers=handlers)


def scu(calling, called, port):
    reported = threading.Event()

    def event_report(event):
        reported.set()
        return 0x0000, None

    ae = AE(ae_title=calling)
    for sop_class in CLASSES:
        ae.add_requested_context(sop_class)
    handlers = [(evt.EVT_N_EVENT_REPORT, event_report)]
    association = ae.associate("127.0.0.1", int(port), ae_title=called, evt_handlers=handlers)
    if not association.is_established:
        sys.exit("no association")
    done = []
    step, uid = Dataset(), generate_uid()
    step.PerformedProcedureStepStatus = "IN PROGRESS"
    status, _ = association.send_n_create(step, ModalityPerformedProcedureStep, uid)
    if getattr(status, "Status", None) == 0x0000:
        done.append("created")
    step.PerformedProcedureStepStatus = "COMPLETED"
    status, _ = association.send_n_set(step, ModalityPerformedProcedureStep, uid)
    if getattr(status, "Status", None) == 0x0000:
        done.append("set")
    wanted = Dataset()
    wanted.TransactionUID = generate_uid()
    status, _ = association.send_n_action(
        wanted, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    if getattr(status, "Status", None) == 0x0000 and reported.wait(10):
        done.append("committed")
    association.release()
    print(*done)


{"scp": scp, "scu": scu}[sys.argv[1]](*sys.argv[2:])
