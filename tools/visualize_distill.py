#!/usr/bin/env python3
"""Draw what a distiller compares: teacher, student and difference of its maps beside the image."""
import os

import _cli


def parse_args():
    parser = _cli.parser(__doc__.splitlines()[0])
    parser.add_argument('checkpoint', help='of tools/train.py, with the connectors; or of the '
                        'student alone')
    parser.add_argument('image', help='image file')
    parser.add_argument('--out', metavar='PNG',
                        help='file to write; by default NAME_OF_IMAGE_distill.png in the work dir')
    return parser.parse_args()


def main():
    args = parse_args()
    config = _cli.load(args)
    from autokd_mm.engine.config import check_writable
    stem = os.path.splitext(os.path.basename(args.image))[0]
    out = args.out or os.path.join(config.work_dir, f'{stem}_distill.png')
    check_writable(os.path.dirname(os.path.abspath(out)), '--out')
    from mmcv import imwrite
    from mmengine.visualization import Visualizer

    from autokd_mm.visualization import compare, draw
    from autokd_mm.visualization.loading import load_image, load_model
    model, note = load_model(config, args.checkpoint)
    data, shown = load_image(config, model, args.image)
    picture = draw(shown, compare(model, data), note)
    imwrite(picture[..., ::-1], out)
    # Also to where the config's logs go, a TensorBoard for one.
    visualizer = Visualizer(vis_backends=config.get('vis_backends'), save_dir=config.work_dir)
    visualizer.add_image(f'{stem}_distill', picture)
    visualizer.close()
    print(out)
    if note:
        print(note)


if __name__ == '__main__':
    _cli.run(main)
