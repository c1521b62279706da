"""temporary"""
import numpy as np
from functools import cache
NAMES52=['_neutral','browDownLeft','browDownRight','browInnerUp','browOuterUpLeft','browOuterUpRight','cheekPuff','cheekSquintLeft','cheekSquintRight','eyeBlinkLeft','eyeBlinkRight','eyeLookDownLeft','eyeLookDownRight','eyeLookInLeft','eyeLookInRight','eyeLookOutLeft','eyeLookOutRight','eyeLookUpLeft','eyeLookUpRight','eyeSquintLeft','eyeSquintRight','eyeWideLeft','eyeWideRight','jawForward','jawLeft','jawOpen','jawRight','mouthClose','mouthDimpleLeft','mouthDimpleRight','mouthFrownLeft','mouthFrownRight','mouthFunnel','mouthLeft','mouthLowerDownLeft','mouthLowerDownRight','mouthPressLeft','mouthPressRight','mouthPucker','mouthRight','mouthRollLower','mouthRollUpper','mouthShrugLower','mouthShrugUpper','mouthSmileLeft','mouthSmileRight','mouthStretchLeft','mouthStretchRight','mouthUpperUpLeft','mouthUpperUpRight','noseSneerLeft','noseSneerRight']
@cache
def _t():
    d=np.load('/work/shared/heads/mediapipe_on_ict.npz')
    names=[str(n) for n in d['names']]; off=[]
    for n in NAMES52[1:]:
        k=n.replace('Left','_L').replace('Right','_R') if n not in('jawLeft','jawRight','mouthLeft','mouthRight') else n
        if k in names: off.append(d['offsets'][names.index(k)])
        elif k+'_L' in names: off.append(d['offsets'][names.index(k+'_L')]+d['offsets'][names.index(k+'_R')])
        else: off.append(np.zeros((478,3)))
    return d['neutral'].astype(np.float64), np.stack(off).astype(np.float64)
def neutral_face(): return _t()[0]
def expression_offsets(c): return np.tensordot(c.astype(np.float64), _t()[1], axes=(-1,0))
