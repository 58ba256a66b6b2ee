"""The architectures of the papers, as functions that build a SpikingNetwork."""

from art_snn.models.architecture import DEFAULTS as DEFAULTS
from art_snn.models.architecture import ENCODERS as ENCODERS
from art_snn.models.architecture import MODELS as MODELS
from art_snn.models.architecture import Architecture as Architecture
from art_snn.models.options import Options as Options
from art_snn.models.parts import kaiming as kaiming
from art_snn.models.resnet import Residual as Residual
from art_snn.models.resnet import resnet17 as resnet17
from art_snn.models.resnet import sew_resnet17 as sew_resnet17
from art_snn.models.vgg import Plan as Plan
from art_snn.models.vgg import vgg as vgg
from art_snn.models.vgg import vgg5 as vgg5
from art_snn.models.vgg import vgg11 as vgg11
from art_snn.models.vgg import vgg16 as vgg16
from art_snn.models.vgg import vgg_dvs as vgg_dvs
