# The other reference that the method is published with.
_base_ = ["de_cuhkcr_thick.py"]
model = dict(reference=dict(_delete_=True, type="MSDA"))
