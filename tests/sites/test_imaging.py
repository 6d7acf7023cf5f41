"""What a DICOM file means by its pixels."""

import io
import logging
import tracemalloc
import warnings

import numpy as np
import pytest
from dicom_images import NAME, PATIENT, dicom, save
from PIL import Image as Pillow
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from coordinator.errors import DataError
from sites.imaging import read_header, read_image, read_radiograph

RAMP = np.arange(12).reshape(3, 4)
SOUND = 9  # of the eleven files in dicom/


@pytest.fixture
def pixels(tmp_path):
    """Write a file and read its pixels back."""

    def read(stored, **elements):
        return read_image(save(dicom(np.asarray(stored), **elements), tmp_path / "a.dcm")).pixels

    return read


@pytest.mark.parametrize(
    ("dtype", "bits", "lowest"),
    [
        ("u1", 8, 0), ("u2", 10, 0), ("u2", 12, 0), ("u2", 16, 0), ("i1", 8, -128), ("i2", 12, -2048),
        ("i2", 16, -32768),
    ],
)  # fmt: skip
def test_the_range_of_the_stored_bits_becomes_0_to_1(dtype, bits, lowest, pixels):
    ends = np.array([[lowest, lowest + 2**bits - 1], [lowest + 2 ** (bits - 1), lowest]]).astype(dtype)
    half = 2 ** (bits - 1) / (2**bits - 1)
    assert pixels(ends, bits=bits) == pytest.approx(np.array([[0, 1], [half, 0]]), abs=1e-6)


def test_monochrome1_shows_low_values_bright(pixels):
    plain = pixels(RAMP.astype("u1"))
    assert pixels(RAMP.astype("u1"), PhotometricInterpretation="MONOCHROME1") == pytest.approx(1 - plain)


def test_a_window_is_laid_over_rescaled_values(pixels):
    """CT in Hounsfield units: a window of 100 around 40, the first of two."""
    hounsfield = np.array([[-1000, -10, 15, 40, 65, 90, 1000]])
    seen = pixels(
        (hounsfield + 1024).astype("u2"), bits=12, RescaleSlope=1, RescaleIntercept=-1024,
        WindowCenter=[40, 400], WindowWidth=[100, 1800],
    )  # fmt: skip
    by_hand = ((hounsfield - 39.5) / 99 + 0.5).clip(0, 1)  # DICOM PS3.3 C.11.2.1.2
    assert seen == pytest.approx(by_hand, abs=1e-6)
    assert 0 < seen[0, 2] < seen[0, 3] < seen[0, 4] < 1


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_other_window_functions_rise_through_a_half_at_the_centre(function, pixels):
    seen = pixels(
        np.array([[0, 100, 128, 156, 255]], "u1"), WindowCenter=128, WindowWidth=100, VOILUTFunction=function
    )
    assert seen[0, 2] == pytest.approx(0.5)
    assert (np.diff(seen[0]) > 0).all()


@pytest.mark.parametrize("window", [{}, {"WindowCenter": -100, "WindowWidth": 256}])
def test_a_negative_slope_turns_the_values_round(window, pixels):
    seen = pixels(RAMP.astype("u1"), RescaleSlope=-1, RescaleIntercept=0, **window)
    assert (np.diff(seen.ravel()) < 0).all()


def test_an_empty_rescale_or_window_is_none(pixels):
    empty = dict.fromkeys(("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"))
    assert pixels(RAMP.astype("u1"), **empty) == pytest.approx(RAMP / 255)


def lookup(entries, first, bits):
    table = Dataset()
    table.LUTDescriptor = [len(entries), first, bits]
    table.add_new("LUTData", "US", list(entries))
    return [table]


def test_a_table_of_interest_comes_before_a_window(pixels):
    curve = (np.arange(256) ** 2 // 255).tolist()
    seen = pixels(
        RAMP.astype("u2"), bits=8, VOILUTSequence=lookup(curve, 0, 8), WindowCenter=6, WindowWidth=4
    )
    assert seen == pytest.approx(np.array(curve)[RAMP] / 255, abs=1e-6)


def test_a_modality_table_replaces_the_rescale(pixels):
    curve = [0, 65535, *range(2000, 12000, 1000)]
    seen = pixels(RAMP.astype("u2"), bits=12, ModalityLUTSequence=lookup(curve, 0, 16))
    assert seen == pytest.approx(np.array(curve)[RAMP] / 65535, abs=1e-6)


@pytest.mark.parametrize(("dtype", "brightest"), [("u1", 255), ("u2", 65535)])
def test_colours_become_luminance(dtype, brightest, pixels):
    colours = (np.eye(3)[None] * brightest).astype(dtype)  # one red, one green, one blue pixel
    seen = pixels(colours, PhotometricInterpretation="RGB")
    assert seen == pytest.approx(np.array([[0.299, 0.587, 0.114]]), abs=1e-6)


def test_ybr_is_turned_into_colours_first(pixels):
    grey = np.full((2, 2, 3), 128, "u1")
    grey[..., 0] = [[0, 50], [100, 255]]
    seen = pixels(grey, PhotometricInterpretation="YBR_FULL")
    assert seen == pytest.approx(np.array([[0, 50], [100, 255]]) / 255, abs=0.01)


def test_a_palette_is_looked_up(pixels):
    red, green, blue = (np.array(values, "<u2") for values in ([0, 65535], [0, 0], [0, 65535]))
    tables = {
        f"{name}PaletteColorLookupTable{part}": value
        for name, values in (("Red", red), ("Green", green), ("Blue", blue))
        for part, value in (("Descriptor", [2, 0, 16]), ("Data", values.tobytes()))
    }
    seen = pixels(np.array([[0, 1], [1, 0]], "u1"), PhotometricInterpretation="PALETTE COLOR", **tables)
    assert seen == pytest.approx(np.array([[0, 0.413], [0.413, 0]]), abs=1e-6)


def test_of_several_frames_the_middle_one_counts(pixels):
    frames = np.stack([np.full((2, 2), value, "u1") for value in (0, 51, 102, 153)])
    assert pixels(frames) == pytest.approx(np.full((2, 2), 0.4))


def test_enhanced_files_say_frame_by_frame_what_values_mean(tmp_path):
    def groups(slope, spacing):
        values, measures, group = Dataset(), Dataset(), Dataset()
        values.RescaleSlope, values.RescaleIntercept = slope, 0
        measures.PixelSpacing = [spacing, spacing]
        group.PixelValueTransformationSequence, group.PixelMeasuresSequence = [values], [measures]
        return group

    window, shared = Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = 128, 256
    shared.FrameVOILUTSequence = [window]
    file = dicom(np.full((3, 2, 2), 20, "u1"))
    file.SharedFunctionalGroupsSequence = [shared]
    file.PerFrameFunctionalGroupsSequence = [groups(1, 0.5), groups(5, 0.7), groups(1, 0.5)]
    found = read_image(save(file, tmp_path / "a.dcm"))
    assert found.spacing_mm == (0.7, 0.7)
    assert found.pixels == pytest.approx(np.full((2, 2), (100 - 127.5) / 255 + 0.5), abs=1e-5)


@pytest.fixture(scope="module")
def photograph():
    y, x = np.mgrid[0:48, 0:64]
    return (60 * np.sin(x / 9) + 50 * np.cos(y / 7) + 120).astype("u1")


def test_run_length_encoding_is_read(photograph, tmp_path):
    file = dicom(photograph)
    file.compress(RLELossless)
    assert read_image(save(file, tmp_path / "a.dcm")).pixels == pytest.approx(photograph / 255)


@pytest.mark.parametrize(
    ("syntax", "how", "off"),
    [
        (JPEGBaseline8Bit, {"format": "JPEG", "quality": 95}, 0.03),
        (JPEG2000Lossless, {"format": "JPEG2000", "irreversible": False, "no_jp2": True}, 1e-6),
    ],
)
def test_jpeg_is_read(syntax, how, off, photograph, tmp_path):
    content = io.BytesIO()
    Pillow.fromarray(photograph).save(content, **how)
    file = dicom(photograph)
    file.PixelData, file.file_meta.TransferSyntaxUID = encapsulate([content.getvalue()]), syntax
    file["PixelData"].VR, file["PixelData"].is_undefined_length = "OB", True
    assert read_image(save(file, tmp_path / "a.dcm")).pixels == pytest.approx(photograph / 255, abs=off)


def test_jpeg_ls_is_read_by_gdcm(photograph, tmp_path):
    import gdcm

    reader, change = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax()
    reader.SetFileName(str(save(dicom(photograph), tmp_path / "a.dcm")))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLSLossless))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(tmp_path / "b.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    assert JPEGLSLossless.encode() in (tmp_path / "b.dcm").read_bytes()
    assert read_image(tmp_path / "b.dcm").pixels == pytest.approx(photograph / 255)


@pytest.mark.parametrize(
    ("elements", "spacing"),
    [
        ({"PixelSpacing": [0.5, 0.25]}, (0.5, 0.25)),
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1)),
        ({"PixelSpacing": [0.5, 0.5], "ImagerPixelSpacing": [0.2, 0.1]}, (0.5, 0.5)),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1)),
        ({"PixelAspectRatio": [4, 3]}, (4, 3)),
        ({}, (1, 1)),
    ],
)
def test_the_first_usable_spacing_counts(elements, spacing, tmp_path):
    path = save(dicom(RAMP.astype("u1"), **elements), tmp_path / "a.dcm")
    assert read_image(path).spacing_mm == spacing


def test_a_radiograph_needs_one_grey_frame_and_a_spacing(tmp_path):
    for file, reason in (
        (dicom(RAMP.astype("u1")), "no pixel spacing"),
        (dicom(np.zeros((2, 3, 3), "u1"), PixelSpacing=[1, 1]), "not a single grey image"),
        (dicom(np.zeros((3, 3, 3), "u1"), PhotometricInterpretation="RGB"), "not a single grey image"),
    ):
        with pytest.raises(DataError, match=reason):
            read_radiograph(save(file, tmp_path / "a.dcm"))


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Rows": 60_000}, "no image of at most 10000 pixels a side"),
        ({"Columns": 0}, "no image of at most"),
        ({"PhotometricInterpretation": "HSV"}, "neither a grey image"),
        ({"SamplesPerPixel": 3}, "neither a grey image"),
        ({"Rows": 60_000, "plain": True}, "truncated"),
        ({"Rows": 9_000, "Columns": 9_000, "plain": True}, "truncated"),
        ({"WindowCenter": 3, "WindowWidth": 0}, "do not fit"),
        ({"BurnedInAnnotation": "YES"}, "burned into the pixels"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_it_costs_memory(elements, reason, tmp_path):
    elements = dict(elements)
    file = dicom(RAMP.astype("u1"))
    read_image(save(file, tmp_path / "b.dcm"))  # what is loaded late is loaded
    if not elements.pop("plain", False):
        file.compress(RLELossless)  # then the file's length says nothing
    for keyword, value in elements.items():
        setattr(file, keyword, value)
    path = save(file, tmp_path / "a.dcm")
    tracemalloc.start()
    with pytest.raises(DataError, match=reason):
        read_image(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_header_says_whose_image_it_is(tmp_path):
    header = read_header(save(dicom(RAMP.astype("u1")), tmp_path / "a.dcm"))
    assert (header.patient_id, header.age, header.sex) == (PATIENT, 44, "female")
    for age, years in (
        ("018M", 1.5),
        ("026W", 0.498),
        ("", np.nan),
    ):
        header = read_header(save(dicom(RAMP.astype("u1"), PatientAge=age), tmp_path / "a.dcm"))
        assert header.age == pytest.approx(years, abs=1e-3, nan_ok=True)


def test_a_file_cut_at_any_place_is_refused(tmp_path, photograph):
    file = dicom(photograph)
    for compress in (False, True):
        if compress:
            file.compress(RLELossless)
        whole = save(file, tmp_path / "a.dcm").read_bytes()
        for kept in np.linspace(0, len(whole) - 2, 40).astype(int):
            (tmp_path / "b.dcm").write_bytes(whole[:kept])
            with pytest.raises(DataError):
                read_image(tmp_path / "b.dcm")


def test_pydicom_says_nothing_of_a_patient(tmp_path, caplog, capfd):
    """A header with values that pydicom warns of: neither a warning nor a log line repeats them."""
    file = dicom(RAMP.astype("u1"))
    path = save(file, tmp_path / "a.dcm")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"044Y", b"4711").replace(PATIENT.encode(), b"MRN\\4711"))
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        read_header(path, named=False)
        read_image(path)
    assert not warned
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    assert not logging.getLogger("pydicom").disabled
    assert NAME.encode() in whole


def test_the_shared_files_are_read_but_for_the_broken_two(data_root):
    outcomes = {}
    for path in sorted((data_root / "dicom").glob("*.dcm")):
        try:
            read_header(path, named=False)
            outcomes[path.name] = read_image(path).pixels
        except DataError as error:
            outcomes[path.name] = str(error)
    refused = {name: found for name, found in outcomes.items() if isinstance(found, str)}
    assert refused == {
        "bad_sequence.dcm": "a SOPInstanceUID that is no UID (DICOM PS3.5, 9.1)",
        "emri_small_jpeg_2k_lossless_too_short.dcm": (
            "pixel data that is truncated, or compressed in a way this program cannot read"
        ),
    }
    images = [found for found in outcomes.values() if not isinstance(found, str)]
    assert len(images) == SOUND
    for image in images:
        assert image.dtype == np.float32
        assert 0 <= image.min() < image.max() <= 1
        assert image.std() > 0.01
