"""The networks that pruning is studied on, by name.

    >>> import nets.models
    >>> nets.models.names()
    ('airbench-94', 'conv-2', 'conv-4', 'conv-6', 'lenet-300-100', 'lenet-5', 'resnet-18', 'resnet-20', 'resnet-32', \
'resnet-56', 'transformer-small', 'vgg-11', 'vgg-16', 'vgg-19', 'wrn-16-4', 'wrn-22-2', 'wrn-28-10', 'wrn-40-4')
    >>> model = nets.models.build("resnet-20", inputs=(3, 32, 32), classes=10, seed=0)
    >>> narrow = nets.models.build("resnet-20", width=0.5)      # half the channels in each layer
    >>> wide = nets.models.build("wrn-10-1")                    # wrn-DEPTH-FACTOR, for every depth 6 n + 4

The first weights are a function of (name, inputs, classes, width, init, seed); PyTorch's global generator is neither
read nor moved. Convolutions and linear layers draw from N(0, 2 / fan_in) (He et al. 2015), biases are 0, batch norm is
the identity. open_lth draws weights alike, but starts batch norm's weights from U[0, 1] and leaves biases to PyTorch's
default, U[-1, 1] / sqrt(fan_in).

Parameters at 3 x 32 x 32 (LeNets and the transformer: 1 x 28 x 28) and 10 classes:

    lenet-300-100  266,610     conv-2  4,301,642     vgg-11   9,228,362     resnet-20     272,474
    lenet-5        431,080     conv-4  2,425,930     vgg-16  14,724,042     resnet-32     466,906
                               conv-6  2,262,602     vgg-19  20,035,018     resnet-56     855,770
    transformer-small 104,394                          airbench-94 1,972,792   resnet-18  11,173,962

    wrn-16-4  2,748,890        wrn-22-2  1,079,642   wrn-40-4   8,949,210   wrn-28-10  36,479,194

Names in the literature: the "ResNet-18" of Frankle and Carbin (2019) and of continuous sparsification's code has three
stages of 16, 32 and 64 channels and 0.27 million parameters: it is `resnet-20`. Here `resnet-18` is the network with
four stages and 11.17 million that SynFlow and others prune.
"""

from __future__ import annotations

from nets.models.building import INITIALISATIONS, build, names
from nets.models.named import Named

__all__ = ["INITIALISATIONS", "Named", "build", "names"]
