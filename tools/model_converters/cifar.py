"""Turn a published CIFAR checkpoint into one that mmpretrain and our configs load.

    python tools/model_converters/cifar.py resnet56-4bfd9763.th resnet56_cifar10.pth
    python tools/model_converters/cifar.py wrn_40_2_vanilla/ckpt_epoch_240.pth wrn-40-2.pth

Reads the files of CRD's code (HobbitLong/RepDistiller: ResNet, WRN, VGG, MobileNetV2, ShuffleNet),
of akamaster/pytorch_resnet_cifar10 and of chenyaofo/pytorch-cifar-models, and others with their
key names. The architecture is read off the weights. Training and searching need no conversion:
``teacher_ckpt`` takes the published files as they are.
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import _cli  # noqa: E402


def parse_args() -> argparse.Namespace:
    """SRC DST [--arch NETWORK]"""
    from autokd_mm.models.backbones.published import NETWORKS
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', help='published checkpoint')
    parser.add_argument('dst', help='file to write')
    parser.add_argument('--arch', choices=NETWORKS, metavar='NETWORK',
                        help='refuse the file when it is another network; one of '
                        + ', '.join(NETWORKS))
    return parser.parse_args()


def convert(src: str, dst: str, arch: str = '') -> dict:
    """Convert the file ``src`` to ``dst`` and return the backbone's config.

    ``dst`` appears whole or not at all.

    Raises:
        CheckpointError: one line, what is wrong with ``src``.
        ConfigError: ``dst`` cannot be written.
    """
    import torch

    from autokd_mm.errors import CheckpointError, ConfigError
    from autokd_mm.models.backbones.convert import convert_checkpoint
    from autokd_mm.safe_load import load_weights, why
    from autokd_mm.whole_file import replacing
    try:
        checkpoint = load_weights(src)
    except FileNotFoundError:
        raise CheckpointError(f'SRC: there is no file {src}') from None
    except Exception as error:  # torn files raise nearly anything
        raise CheckpointError(f'SRC: {src} cannot be read ({why(error)})') from None
    try:
        state_dict, backbone = convert_checkpoint(checkpoint, arch or None)
    except ValueError as error:
        raise CheckpointError(f'SRC: {src}: {error}') from None
    meta = dict(source=os.path.basename(src), backbone=backbone)
    try:
        with replacing(dst) as unfinished:
            torch.save(dict(state_dict=state_dict, meta=meta), unfinished)
    except (OSError, RuntimeError) as error:  # torch reports a missing folder as RuntimeError
        raise ConfigError(f'DST: cannot write {dst} ({why(error)})') from None
    return backbone


def main() -> None:
    args = parse_args()
    backbone = convert(args.src, args.dst, args.arch)
    print(f'wrote {args.dst}: backbone={backbone}')


if __name__ == '__main__':
    _cli.run(main)
