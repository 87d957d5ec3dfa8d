import dataclasses
import errno
import json
import os
import re
import shlex
import signal
import struct
import subprocess
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_digits, load_iris

import isthmus
from isthmus import Autoencoder, DenoisingAutoencoder, VariationalAutoencoder, load
from isthmus.cli import applying, fitting, following
from isthmus.cli.commands import COMMANDS, fit
from isthmus.cli.describing import SLOTS
from isthmus.cli.fitting import Given, assemble
from isthmus.cli.main import isthmus as command_line
from isthmus.cli.main import run
from isthmus.cli.options import ESTIMATORS, at_the_shell, chosen
from isthmus.cli.own_options import OWN
from isthmus.cli.rows import read_rows
from isthmus.data.files import read
from isthmus.data.writing import write, write_pictures
from isthmus.errors import ParameterError
from isthmus.estimators.parameters import Parameters, declared, sentence_of

NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
IRIS = load_iris().data
BYTES = (load_digits().images[:60] * 15).astype(np.uint8)  # (60, 8, 8)
LIGHT = np.divide(BYTES, 255, dtype=np.float32).reshape(60, 64)
PICTURES = [f"digit{i:02}.png" for i in range(60)]
QUICK = {"hidden": (), "max_epochs": 2, "random_state": 0}
QUICKLY = ["--hidden", "()", "--max-epochs", "2", "--random-state", "0"]
ENCODE = (
    "leave it out (--drop species), or encode it as numbers (sklearn.preprocessing.OneHotEncoder)."
)


def iris_frame(values=IRIS):
    return pl.DataFrame(values, schema=NAMES, orient="row")


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.tobytes())


def invoke(*args):
    """Run a command that succeeds and return what it prints."""
    result = CliRunner().invoke(command_line, [str(arg) for arg in args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def cells(printed):
    """Return the cells of the tables' rows."""
    rows = [line.strip("│").split("│") for line in printed.splitlines() if line[:1] == "│"]
    return [tuple(cell.strip() for cell in row) for row in rows]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Iris and digits in every form, and a model of each."""
    home = tmp_path_factory.mktemp("home")
    for ending in ("csv", "parquet", "npy", "npz"):
        write(home / f"iris.{ending}", IRIS, NAMES)
    write_pictures(home / "digits", LIGHT.reshape(60, 8, 8), PICTURES)
    np.save(home / "digits.npy", BYTES)
    write_idx(home / "digits.idx", BYTES)
    invoke("fit", home / "iris.csv", "--model", home / "iris", *QUICKLY)
    invoke("fit", home / "digits", "--model", home / "strokes", "-k", 8, *QUICKLY)
    return home


@pytest.fixture
def refusal(capsys):
    """Run a command that is refused and return its sentence."""

    def refusal(*args):
        assert run([str(arg) for arg in args]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert re.fullmatch(r"Error: (?!.*\. [A-Z])[^\n]+\.\n", printed.err)
        return printed.err.removeprefix("Error: ").rstrip("\n")

    return refusal


def forbid(monkeypatch, target, name):
    monkeypatch.setattr(target, name, lambda *_, **__: pytest.fail(f"{name} must not be called"))


# The process


def test_help_imports_nothing_slow():
    code = (
        "import json, sys; from isthmus.cli.main import run\n"
        "codes = [run([*args, '--help']) for args in json.loads(sys.argv[1])]\n"
        "print(codes, sorted({'torch', 'sklearn', 'polars', 'numpy', 'rich'} & set(sys.modules)))"
    )
    commands = json.dumps([[], *([command.name] for command in COMMANDS)])
    process = [sys.executable, "-c", code, commands]
    printed = subprocess.run(process, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == f"{[0] * (len(COMMANDS) + 1)} []"


BAD = {
    "a missing file": (
        "fit iris.cvs --model new",
        "iris.cvs does not exist (did you mean 'iris.csv'?): check the path.",
    ),
    "a wrong ending": (
        "fit iris.xlsx --model new",
        "iris.xlsx has an ending that cannot be read: use .npy, .npz, .csv, .tsv, .parquet, "
        ".idx, .idx.gz, names such as t10k-images-idx3-ubyte.gz, or a folder of pictures.",
    ),
    "a column of text": (
        "fit species.csv --model new",
        "Column 'species' of species.csv holds text, for example 'setosa' in row 0 (from 0): "
        + ENCODE,
    ),
    "a cell that is missing": (
        "fit gaps.csv --model new",
        "gaps.csv has NaN at row 1, column 'b': fill such values in (sklearn.impute.SimpleImputer) "
        "or drop these rows.",
    ),
    "a folder that is no model": (
        "transform iris.csv codes.csv --model photos",
        "photos is not a saved model (it has no config.json): give the folder that save() or "
        "isthmus fit made.",
    ),
    "an unknown optimizer": (
        "fit iris.csv --model new --optimizer adm",
        "--optimizer adm is unknown; did you mean 'adam'? (known: sgd, momentum, nesterov, "
        "adagrad, rmsprop, adadelta, adam, adamw, adamax, nadam, radam, lbfgs, muon).",
    ),
}


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """Start every bad command at once: most of the time goes into importing torch."""
    folder = tmp_path_factory.mktemp("bad")
    write(folder / "iris.csv", IRIS[:9], NAMES)
    (folder / "iris.xlsx").write_text("PK")
    (folder / "species.csv").write_text("a,species\n1,setosa\n2,virginica\n")
    (folder / "gaps.csv").write_text("a,b\n1,2\n3,\n")
    (folder / "photos").mkdir()
    start = "from isthmus.cli.main import main; main()"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": folder}
    commands = {
        name: [sys.executable, "-c", start, *typed.split()] for name, (typed, _) in BAD.items()
    }
    started = {name: subprocess.Popen(command, **pipes) for name, command in commands.items()}
    yield started
    for process in started.values():  # a worker that was given some of the cases ends them all
        process.communicate()


@pytest.mark.parametrize("name", BAD)
def test_process_refuses_in_one_sentence_with_exit_code_2(processes, name):
    out, err = processes[name].communicate(timeout=60)
    assert (processes[name].returncode, out, err) == (2, "", f"Error: {BAD[name][1]}\n")


def test_run_exits_with_130_and_a_word_when_interrupted(monkeypatch, capfd, home, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(applying, "read_rows", interrupt)
    out = str(tmp_path / "codes.npy")
    assert run(["transform", str(home / "iris.csv"), out, "--model", str(home / "iris")]) == 130
    assert capfd.readouterr() == ("", "\nStopped.\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_fit_that_is_stopped_as_it_reads_says_that_there_is_no_model(
    monkeypatch, capfd, home, number, code
):
    monkeypatch.setattr(fitting, "read_rows", lambda *_: os.kill(os.getpid(), number))
    assert run(["fit", str(home / "iris.csv"), "--model", str(home / "new")]) == code
    said = "Stopping ...\nStopped before there was a model to save.\n"
    assert capfd.readouterr() == ("", said)
    assert not (home / "new").exists()


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_loading_lets_a_signal_end_the_process_and_then_no_more(number, code):
    script = (
        f"import os, signal; from isthmus.cli.stopping import loading; number = signal.{number}\n"
        "signal.signal(number, signal.default_int_handler)\n"  # a shell may have it ignored
        "with loading(): pass\n"
        "try: os.kill(os.getpid(), number)\n"
        "except KeyboardInterrupt: print('caught', flush=True)\n"
        "with loading(): os.kill(os.getpid(), number)"
    )
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "caught\n", "Stopped.\n")


def test_run_hides_no_mistake_of_our_own(monkeypatch, home):
    monkeypatch.setattr(fitting, "read_rows", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(["fit", str(home / "iris.csv"), "--model", str(home / "new")])


def test_run_shows_a_warning_in_one_line(tmp_path, home, capsys):
    options = ["--optimizer", "sgd", "--learning-rate", "1e30", "--validation-fraction", "0"]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code = run(["fit", str(home / "iris.npy"), "--model", str(tmp_path / "m"), *options])
    warning = (
        "The training diverged: the weights of epoch 0, the last good ones, are kept. "
        "Lower --learning-rate, or scale X."
    )
    assert (code, capsys.readouterr().err) == (0, f"Warning: {warning}\n")


def test_version_is_the_packages():
    assert invoke("--version") == f"isthmus {isthmus.__version__}\n"


def test_commands_are_listed_in_the_order_in_which_they_are_met():
    listed = re.findall(r"^  (\w+)  ", invoke(), re.MULTILINE)
    assert listed == [
        "demo",
        "fit",
        "resume",
        "transform",
        "denoise",
        "score",
        "sample",
        "report",
        "compare",
        "export",
        "info",
        "parts",
    ]


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        (
            "trasform",
            "There is no command 'trasform' (did you mean 'transform'?): use demo, fit, resume, "
            "transform, denoise, score, sample, report, compare, export, info, parts; see 'isthmus "
            "--help'.",
        ),
        (
            "fit --hiden 3",
            "There is no option --hiden (did you mean '--hidden'?); see 'isthmus fit --help'.",
        ),
        ("fit --model m", "Missing argument 'DATA'; see 'isthmus fit --help'."),
        (
            "parts extra",
            "Got unexpected extra argument (extra); see 'isthmus parts --help'.",
        ),
        (
            "fit -k 0",
            "Invalid value for '--n-components' / '-k': '0' should be a whole number from 1, or "
            "a share of the variance below 1; see 'isthmus fit --help'.",
        ),
        (
            "fit --learning-rate fast",
            "Invalid value for '--learning-rate': 'fast' should be a number or should be "
            "'auto'; see 'isthmus fit --help'.",
        ),
        (
            "fit --hidden 3,x",
            "Invalid value for '--hidden': '3,x' should be an integer; see 'isthmus fit --help'.",
        ),
        (
            "fit --scaling std",
            "Invalid value for '--scaling': 'std' should be 'isotropic', 'standard' or 'none'; "
            "see 'isthmus fit --help'.",
        ),
        (
            "fit --n-components none",
            "Invalid value for '--n-components' / '-k': 'none' should be a whole number from 1, or "
            "a share of the variance below 1; see 'isthmus fit --help'.",
        ),
        (
            "fit --random-state -1",
            "Invalid value for '--random-state': '-1' should be greater than or equal to 0; "
            "see 'isthmus fit --help'.",
        ),
    ],
)
def test_a_mistyped_command_is_refused_with_what_is_right(refusal, typed, text):
    assert refusal(*typed.split()) == text


# Options


def options_of(home, *typed):
    args = [str(home / "iris.csv"), "--model", "m", *map(str, typed)]
    return fit.make_context("fit", args).params


def test_every_shared_parameter_is_an_option_with_its_default_and_sentence(home):
    defaults = options_of(home)
    helps = {option.name: option.help for option in fit.params if hasattr(option, "help")}
    assert set(defaults) > set(declared(Parameters))
    for name, (field, annotation) in declared(Parameters).items():
        assert defaults[name] == (1 if name == "verbose" else field.default), name
        assert helps[name].startswith(sentence_of(annotation)), name


def own_parameters():
    """Yield what only some estimators have, but what is typed as --blind, --target and --labels."""
    for name in ESTIMATORS.values():
        for parameter, (field, _) in declared(getattr(isthmus, name)).items():
            if parameter not in {*declared(Parameters), "target", "conditional"}:
                yield parameter, field.default


def test_every_parameter_of_some_estimators_is_an_option_that_states_its_default(home):
    owned = dict(own_parameters())
    assert set(owned) == set(OWN)
    assert {
        name: options_of(home)[name] for name in owned if not OWN[name].several
    } == dict.fromkeys(set(owned) - {"penalties"})
    for name, default in owned.items():
        if isinstance(default, int | float):
            assert f"[default: {default:g}]" in OWN[name].sentence, name


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("hidden", "512,256", (512, 256)),
        ("hidden", "(512, 256)", (512, 256)),
        ("hidden", "7", (7,)),
        ("hidden", "()", ()),
        ("hidden", "none", None),
        ("learning_rate", "1e-3", 1e-3),
        ("learning_rate", "auto", "auto"),
        ("batch_size", "32", 32),
        ("patience", "None", None),
        ("scaling", "none", "none"),
        ("random_state", "3", 3),
        ("optimizer", "adam(betas=(0.8, 0.9))", "adam(betas=(0.8, 0.9))"),
    ],
)
def test_an_option_is_read_as_its_declaration_says(home, option, text, value):
    read_value = options_of(home, f"--{option.replace('_', '-')}", text)[option]
    assert read_value == value
    assert type(read_value) is type(value)


def assembled(home, *typed):
    args = [str(home / "iris.csv"), "--model", "m", *map(str, typed)]
    with fit.make_context("fit", args) as context:
        options = chosen(context.params)
    for name in (*Given._fields, "drop", "log", "model", "checkpoint", "force"):
        options.pop(name, None)
    return assemble(**options)


@pytest.mark.parametrize(
    ("typed", "estimator"),
    [
        ([], Autoencoder(verbose=1)),
        (["--noise", "masking"], DenoisingAutoencoder(corruption="masking", verbose=1)),
        (["--estimator", "denoising"], DenoisingAutoencoder(verbose=1)),
        (
            ["--corruption", "masking", "--estimator", "autoencoder"],
            Autoencoder(corruption="masking", verbose=1),
        ),
        (
            ["--noise", "masking", "--code", "sigmoid", "--likelihood", "bernoulli"],
            Autoencoder(corruption="masking", code="sigmoid", likelihood="bernoulli", verbose=1),
        ),
        (
            ["--penalty", "weight_l1", "--penalty", "weight_l2(weight=1)"],
            Autoencoder(penalties=("weight_l1", "weight_l2(weight=1)"), verbose=1),
        ),
        (
            ["--prior-components", "9", "--growth", "0.5", "--importance-samples", "3"],
            VariationalAutoencoder(prior_components=9, growth=0.5, importance_samples=3, verbose=1),
        ),
        (
            ["--warmup", "0", "--free-bits", "0.1", "--capacity", "4"],
            VariationalAutoencoder(warmup=0.0, free_bits=0.1, capacity=4.0, verbose=1),
        ),
    ],
)
def test_the_options_choose_estimator_and_parts(home, typed, estimator):
    given = assembled(home, *typed)
    assert type(given) is type(estimator)
    assert given.get_params() == estimator.get_params()


@pytest.mark.parametrize("option", ["--code", "--penalty"])
def test_an_option_of_another_estimator_is_refused(home, option):
    text = f"{option} is no option of --estimator denoising: leave one of the two out."
    with pytest.raises(ParameterError, match=f"^{re.escape(text)}$"):
        assembled(home, "--estimator", "denoising", option, "sigmoid")


def test_options_of_different_estimators_are_refused_together(home):
    text = "--weight and --beta are options of different estimators: leave one out."
    with pytest.raises(ParameterError, match=f"^{re.escape(text)}$"):
        assembled(home, "--beta", "2", "--weight", "1")


# fit


def test_fit_equals_the_fit_in_python(home):
    theirs = Autoencoder(2, **QUICK).fit(iris_frame())
    ours = load(home / "iris")
    assert ours.feature_names_in_.tolist() == NAMES
    assert ours.versus_pca_ == theirs.versus_pca_
    np.testing.assert_array_equal(ours.transform(iris_frame()), theirs.transform(iris_frame()))


@pytest.mark.parametrize("role", ["target", "validation"])
def test_fit_hands_over_target_and_validation(tmp_path, home, role):
    noisy = iris_frame(IRIS + np.random.default_rng(0).normal(0, 0.3, IRIS.shape))
    noisy.write_csv(tmp_path / "noisy.csv")
    data = [tmp_path / "noisy.csv", f"--{role}", home / "iris.csv"]
    invoke("fit", *data, "--model", tmp_path / "m", *QUICKLY)
    theirs, ours = Autoencoder(2, **QUICK), load(tmp_path / "m")
    theirs.fit(noisy, **{role: iris_frame()})
    assert ours.versus_pca_ == theirs.versus_pca_
    np.testing.assert_array_equal(ours.transform(noisy), theirs.transform(noisy))


def test_fit_to_labels_equals_the_conditional_fit_in_python(tmp_path):
    species = np.array(["setosa", "versicolor", "virginica"])[load_iris().target]
    labels = pl.Series("species", species)
    iris_frame().with_columns(labels).write_csv(tmp_path / "iris.csv")
    invoke("fit", tmp_path / "iris.csv", "--labels", "species", "--model", tmp_path / "m", *QUICKLY)
    theirs = VariationalAutoencoder(2, conditional=True, **QUICK).fit(iris_frame(), labels)
    ours = load(tmp_path / "m")
    assert (ours.label_name_, ours.classes_.tolist()) == ("species", theirs.classes_.tolist())
    assert ours.feature_names_in_.tolist() == NAMES
    np.testing.assert_array_equal(ours.transform(iris_frame()), theirs.transform(iris_frame()))


@pytest.mark.parametrize("kind", ["csv", "npy"])
@pytest.mark.parametrize("classes", [[0, 1, 2], ["setosa", "größe", "z"]], ids=str)
def test_fit_takes_labels_of_a_file(tmp_path, home, kind, classes):
    labels = np.array(classes)[load_iris().target]
    file = tmp_path / f"labels.{kind}"
    pl.DataFrame({"label": labels}).write_csv(file) if kind == "csv" else np.save(file, labels)
    printed = invoke(
        "fit", home / "iris.csv", "--labels", file, "--model", tmp_path / "m", *QUICKLY
    )
    ours = load(tmp_path / "m")
    assert (ours.label_name_, ours.classes_.tolist()) == (None, sorted(classes))
    listed = ", ".join(map(str, sorted(classes)))
    assert listed in printed
    assert listed in invoke("info", tmp_path / "m")


@pytest.mark.parametrize(
    ("cells", "classes"), [(["01", "1", "2"], ["01", "1", "2"]), (["0", "10", "-2"], [-2, 0, 10])]
)
def test_labels_that_begin_with_a_zero_are_words(tmp_path, cells, classes):
    labels = pl.Series("code", np.array(cells)[load_iris().target])
    iris_frame().with_columns(labels).write_csv(tmp_path / "iris.csv")
    invoke("fit", tmp_path / "iris.csv", "--labels", "code", "--model", tmp_path / "m", *QUICKLY)
    assert load(tmp_path / "m").classes_.tolist() == classes


@pytest.mark.parametrize("name", ["labels.npy", "labels.csv"])
def test_fit_says_that_a_file_of_labels_is_missing(tmp_path, home, capsys, name):
    typed = [home / "iris.csv", "--labels", tmp_path / name, "--model", tmp_path / "m"]
    assert run(["fit", *map(str, typed)]) == 2
    assert capsys.readouterr().err.endswith(
        f"{home / 'iris.csv'} has no column '{tmp_path / name}', nor is there such a file: correct "
        f"the name.\n"
    )


def test_fit_never_unpickles_labels(tmp_path, home, capsys):
    np.save(tmp_path / "labels.npy", np.array(["a", 1] * 75, dtype=object))
    typed = [home / "iris.csv", "--labels", tmp_path / "labels.npy", "--model", tmp_path / "m"]
    assert run(["fit", *map(str, typed)]) == 2
    assert capsys.readouterr().err == (
        f"Error: {tmp_path / 'labels.npy'} holds Python objects, which are never unpickled: save "
        f"it as words, with array.astype(str).\n"
    )


def test_column_of_labels_may_be_called_as_files_are(tmp_path):
    labels = pl.Series("kind.csv", load_iris().target)
    iris_frame().with_columns(labels).write_csv(tmp_path / "iris.csv")
    invoke(
        "fit", tmp_path / "iris.csv", "--labels", "kind.csv", "--model", tmp_path / "m", *QUICKLY
    )
    assert load(tmp_path / "m").label_name_ == "kind.csv"


def test_next_command_after_a_generative_fit_does_not_name_the_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    iris_frame().write_csv("samples.csv")
    printed = invoke("fit", "samples.csv", "--beta", "1", "--model", "m", *QUICKLY)
    assert "Next: isthmus sample m --out samples2.csv\n" in printed


def test_fit_refuses_labels_of_other_rows(tmp_path, home, capsys):
    pl.DataFrame({"label": [0, 1]}).write_csv(tmp_path / "few.csv")
    typed = [home / "iris.csv", "--labels", tmp_path / "few.csv", "--model", tmp_path / "m"]
    assert run(["fit", *map(str, typed)]) == 2
    assert capsys.readouterr().err.endswith(
        f"few.csv has 2 labels and {home / 'iris.csv'} 150 rows: give one label for each row.\n"
    )


def test_fit_tells_what_came_of_it(tmp_path, home):
    printed = invoke(
        *("fit", home / "digits", "--model", tmp_path / "m", "--code", "sigmoid"), *QUICKLY
    )
    model = load(tmp_path / "m")
    versus = f"{model.versus_pca_.ratio:.2f} times the error of PCA (held out, 60 rows)"
    facts = dict(cells(printed))
    assert facts.pop("seconds").replace(".", "").isdigit()
    assert facts == {
        "rows": "60",
        "features": "64",
        "code width": "2",
        "against PCA": versus,
        "epochs": "2 (it ran to --max-epochs)",
    }
    findings = model.diagnose(LIGHT)
    assert [finding.name for finding in findings] == ["worse than PCA", "stopped at its limit"]
    assert all(f"\n! {at_the_shell(str(finding))}\n" in printed for finding in findings)


def test_fit_prints_a_finding_with_the_columns_name(tmp_path):
    write(tmp_path / "x.csv", IRIS * [1, 1, 1, 1000], NAMES)
    printed = invoke("fit", tmp_path / "x.csv", "--model", tmp_path / "m", *QUICKLY)
    assert (
        "\n! Feature 'petal_width' alone makes 100% of the variance: the model sees little else. "
        "If the features have different units, write --scaling standard.\n" in printed
    )


@pytest.mark.parametrize(
    ("data", "noise", "result"),
    [
        ("iris.csv", None, "codes.csv"),
        ("digits.idx", None, "codes.npy"),
        ("iris.npz", "masking", "clean.npz"),
        ("digits", "masking", "clean"),
    ],
)
def test_fit_prints_a_next_command_that_works(tmp_path, monkeypatch, home, data, noise, result):
    monkeypatch.chdir(tmp_path)
    options = ["--noise", noise] if noise else []
    printed = invoke("fit", home / data, "--model", "my model", *QUICKLY, *options)
    program, *command = shlex.split(printed.splitlines()[-1].removeprefix("Next: "))
    assert program == "isthmus"
    invoke(*command)
    assert len(read(tmp_path / result).values) == len(read(home / data).values)


def test_fit_keeps_a_saved_model_unless_forced(tmp_path, monkeypatch, home, refusal):
    invoke("fit", home / "iris.npy", "--model", tmp_path / "m", *QUICKLY)
    with monkeypatch.context() as patch:
        forbid(patch, Autoencoder, "fit")
        assert refusal("fit", home / "iris.npy", "--model", tmp_path / "m") == (
            f"{tmp_path / 'm'} holds a saved model already: "
            "add --force to replace it, or give another folder."
        )
    invoke("fit", home / "iris.npy", "--model", tmp_path / "m", "-k", 3, *QUICKLY, "--force")
    assert load(tmp_path / "m").n_components == 3


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_fit_never_replaces_another_folder(tmp_path, monkeypatch, home, refusal, force):
    forbid(monkeypatch, Autoencoder, "fit")
    (tmp_path / "thesis.txt").write_text("years of work")
    assert refusal("fit", home / "iris.npy", "--model", tmp_path, *force) == (
        f"{tmp_path} is a folder that holds something and no config.json, so it is not replaced: "
        "give the path of a new or an empty folder."
    )


def test_fit_refuses_a_place_where_nothing_can_be_saved(tmp_path, monkeypatch, home, refusal):
    forbid(monkeypatch, Autoencoder, "fit")
    model = home / "iris.csv" / "m"
    assert refusal("fit", home / "iris.npy", "--model", model) == (
        f"{model} cannot be written, because {home / 'iris.csv'} is no folder that you may write "
        "to: change the path or the permissions."
    )


def test_fit_refuses_a_place_that_only_claims_to_be_writable(monkeypatch, home, refusal):
    forbid(monkeypatch, Autoencoder, "fit")

    def make(dir):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(dir))

    monkeypatch.setattr("isthmus.cli.outputs.tempfile.TemporaryFile", make)
    assert refusal("fit", home / "iris.npy", "--model", home / "m") == (
        f"{home / 'm'} cannot be written (No such file or directory): check the path and the "
        "device; nothing was changed."
    )


def test_fit_names_the_file_that_leaves_the_likelihoods_domain(tmp_path, home, refusal):
    path = home / "iris.npy"
    assert refusal("fit", path, "--model", tmp_path / "m", "--likelihood", "bernoulli") == (
        f"{path} runs from 0.1 to 7.9, and likelihood 'bernoulli' needs values from 0 to 1: "
        f"rescale {path} (pixels: divide by 255), or use --likelihood normal."
    )


def test_fit_refuses_clean_pictures_of_other_names(tmp_path, home, refusal):
    write_pictures(tmp_path / "clean", LIGHT.reshape(60, 8, 8), [f"{i}.png" for i in range(60)])
    target = ["--target", tmp_path / "clean"]
    assert refusal("fit", home / "digits", "--model", tmp_path / "m", *target) == (
        f"{tmp_path / 'clean'} and {home / 'digits'} hold pictures of different names: "
        "give one clean picture of the same name for each noisy one."
    )


def test_fit_hands_over_pairs_to_stop_by(tmp_path, home):
    noisy = IRIS + np.random.default_rng(0).normal(0, 0.3, IRIS.shape)
    files = {"noisy": noisy[:100], "clean": IRIS[:100], "later": noisy[100:], "then": IRIS[100:]}
    for name, rows in files.items():
        write(tmp_path / f"{name}.csv", rows, NAMES)
    noisy, clean, later, then = (tmp_path / f"{name}.csv" for name in files)
    data = [noisy, "--target", clean, "--validation", later, "--validation-target", then]
    invoke("fit", *data, "--model", tmp_path / "m", *QUICKLY)
    noisy, clean, later, then = map(iris_frame, files.values())
    theirs = Autoencoder(2, **QUICK).fit(noisy, target=clean, validation=(later, then))
    assert load(tmp_path / "m").versus_pca_ == theirs.versus_pca_


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            ["--target", "--validation"],
            "--validation has no clean rows, and the data have --target: add --validation-target.",
        ),
        (
            ["--validation-target"],
            "--validation-target needs the noisy rows too: add --validation.",
        ),
    ],
)
def test_fit_refuses_rows_to_stop_by_that_are_no_pairs(tmp_path, home, refusal, given, sentence):
    options = [word for option in given for word in (option, home / "iris.csv")]
    command = ["fit", home / "iris.csv", "--model", tmp_path / "m", *options]
    assert refusal(*command) == sentence


def test_fit_refuses_clean_pictures_to_stop_by_of_other_names(tmp_path, home, refusal):
    write_pictures(tmp_path / "clean", LIGHT.reshape(60, 8, 8), [f"{i}.png" for i in range(60)])
    pair = ["--validation", home / "digits", "--validation-target", tmp_path / "clean"]
    assert refusal("fit", home / "digits.npy", "--model", tmp_path / "m", *pair) == (
        f"{tmp_path / 'clean'} and {home / 'digits'} hold pictures of different names: "
        "give one clean picture of the same name for each noisy one."
    )


# Rows


def test_rows_of_pictures_are_the_same_light_from_bytes_and_from_files(home):
    for name in ("digits", "digits.npy", "digits.idx"):
        rows = read_rows(home / name)
        np.testing.assert_array_equal(rows.values, LIGHT)
        assert (rows.values.dtype, rows.shape) == (np.float32, (8, 8))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_rows_of_a_plain_array_keep_their_units(tmp_path, dtype):
    np.save(tmp_path / "x.npy", BYTES.reshape(60, 64).astype(dtype))
    rows = read_rows(tmp_path / "x.npy")
    np.testing.assert_array_equal(rows.values, BYTES.reshape(60, 64))
    assert rows.values.dtype == dtype


def test_rows_refuse_a_list_of_numbers(tmp_path, refusal):
    np.save(tmp_path / "x.npy", np.arange(9.0))
    assert refusal("fit", tmp_path / "x.npy", "--model", tmp_path / "m") == (
        f"{tmp_path / 'x.npy'} holds a list of 9 numbers, and rows are needed: "
        "reshape it to (rows, features)."
    )


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (NAMES[:3], "has no column 'petal_width', which {model} has: add it."),
        (
            [*NAMES[:3], "Petal_Width"],
            "has no column 'petal_width', which {model} has (did you mean 'Petal_Width'?): "
            "rename it.",
        ),
        (
            NAMES[:1],
            "lacks 3 of the 4 columns of {model} ('sepal_width', 'petal_length' and "
            "'petal_width'): give a table with these names.",
        ),
        (None, "has 3 values in a row and {model} 4: give rows of 4 values."),
    ],
)
def test_rows_with_other_columns_than_the_models_are_refused(
    tmp_path, home, refusal, columns, said
):
    path = tmp_path / ("x.csv" if columns else "x.npy")
    write(path, np.ones((5, len(columns or "abc"))), columns)
    command = ["transform", path, tmp_path / "z.npy", "--model", home / "iris"]
    assert refusal(*command) == f"{path} " + said.format(model=f"the model {home / 'iris'}")
    assert not (tmp_path / "z.npy").exists()


def test_rows_to_stop_by_must_have_the_columns_of_the_others(tmp_path, home, refusal):
    write(path := tmp_path / "x.csv", IRIS[:, :3], NAMES[:3])
    command = ["fit", home / "iris.csv", "--model", tmp_path / "m", "--validation", path]
    assert refusal(*command) == (
        f"{path} has no column 'petal_width', which {home / 'iris.csv'} has: add it."
    )


@pytest.fixture
def people(tmp_path):
    """Return a table with columns that are no numbers, and what the others hold."""
    people = iris_frame().insert_column(0, pl.Series("id", [f"p{i}" for i in range(150)]))
    people.insert_column(3, pl.Series("city", ["Rome", "Oslo"] * 75))
    people.write_csv(tmp_path / "people.csv")
    return tmp_path / "people.csv"


@pytest.mark.parametrize(
    "option", [["--drop", "id, city"], ["--columns", ",".join(NAMES)]], ids=["drop", "columns"]
)
def test_columns_are_chosen_once_and_found_again_by_name(tmp_path, people, option):
    invoke("fit", people, "--model", tmp_path / "m", *option, *QUICKLY)
    model = load(tmp_path / "m")
    assert list(model.feature_names_in_) == NAMES
    pl.read_csv(people).select(reversed(pl.read_csv(people).columns)).write_parquet(
        turned := tmp_path / "turned.parquet"
    )
    for given in (people, turned):
        invoke("transform", given, tmp_path / "z.npy", "--model", tmp_path / "m", "--force")
        np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), model.transform(iris_frame()))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--drop", "idd,city"], "has no column 'idd' (did you mean 'id'?): correct the name."),
        (["--columns", "id", "--drop", "id"], "has no column left: drop fewer."),
    ],
)
def test_columns_that_are_not_there_are_refused(tmp_path, people, refusal, option, said):
    assert refusal("fit", people, "--model", tmp_path / "m", *option) == f"{people} {said}"


def test_columns_are_refused_where_there_are_no_names(tmp_path, home, refusal):
    command = ["fit", home / "iris.npy", "--model", tmp_path / "m", "--drop", "id"]
    assert refusal(*command) == (
        f"{home / 'iris.npy'} has no names of columns: leave --columns and --drop out."
    )


# transform


@pytest.mark.parametrize("given", ["csv", "parquet", "npy", "npz"])
@pytest.mark.parametrize("wanted", ["csv", "parquet", "npy", "npz"])
def test_transform_writes_the_models_codes_bit_for_bit(tmp_path, home, given, wanted):
    out = tmp_path / f"z.{wanted}"
    printed = invoke("transform", home / f"iris.{given}", out, "--model", home / "iris")
    table = read(out)
    codes = table.values if table.columns is None else table.values[:, 1:]
    np.testing.assert_array_equal(codes, load(home / "iris").transform(iris_frame()))
    assert table.columns in (("row", "autoencoder0", "autoencoder1"), None)
    if table.columns:
        np.testing.assert_array_equal(table.values[:, 0], range(150))
    assert printed == f"{out}: 150 rows, 2 columns.\n"


@pytest.mark.parametrize("given", ["digits", "digits.npy", "digits.idx"])
def test_transform_gives_pictures_the_same_codes_in_every_form(tmp_path, home, given):
    invoke("transform", home / given, tmp_path / "z.npy", "--model", home / "strokes")
    wanted = load(home / "strokes").transform(LIGHT)
    np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), wanted)


# Where results go


@pytest.mark.parametrize("command", ["transform", "denoise", "score"])
def test_an_ending_that_cannot_be_written_is_refused_before_any_work(
    tmp_path, monkeypatch, home, refusal, command
):
    forbid(monkeypatch, Autoencoder, "transform")
    monkeypatch.setattr("isthmus.cli.applying.read_rows", lambda path: pytest.fail("too late"))
    out = tmp_path / "z.xlsx"
    place = ["--out", out] if command == "score" else [out]
    assert refusal(command, home / "iris.csv", *place, "--model", home / "iris") == (
        f"{out} has an ending that cannot be written: use .npy, .npz, .csv, .parquet."
    )


@pytest.mark.parametrize("command", ["transform", "denoise", "score"])
def test_an_existing_file_is_replaced_only_by_force(tmp_path, home, refusal, command):
    (out := tmp_path / "z.csv").write_text("mine")
    place = ["--out", out] if command == "score" else [out]
    typed = [command, home / "iris.csv", *place, "--model", home / "iris"]
    assert refusal(*typed) == (
        f"{out} exists already: add --force to replace it, or give another path."
    )
    assert out.read_text() == "mine"
    invoke(*typed, "--force")
    assert len(read(out).values) == 150


def test_the_input_is_never_written_over(home, refusal):
    before = (home / "iris.csv").read_bytes()
    out = home / "digits" / ".." / "iris.csv"
    command = ["denoise", home / "iris.csv", out, "--model", home / "iris", "--force"]
    assert refusal(*command) == f"{out} is the input itself: give another path to write to."
    assert (home / "iris.csv").read_bytes() == before


def test_an_existing_folder_is_replaced_only_by_force(tmp_path, home, refusal):
    out = tmp_path / "out"
    write_pictures(out, np.zeros((60, 8, 8)), PICTURES)
    typed = ["denoise", home / "digits", out, "--model", home / "strokes"]
    assert refusal(*typed) == (
        f"{out} exists already: add --force to replace it, or give another path."
    )
    assert read(out).values.max() == 0
    invoke(*typed, "--force")
    assert read(out).values.max() > 0


# denoise


@pytest.mark.parametrize("given", ["csv", "npy"])
def test_denoise_keeps_the_columns_of_the_table_or_of_the_model(tmp_path, home, given):
    invoke("denoise", home / f"iris.{given}", tmp_path / "x.csv", "--model", home / "iris")
    table = read(tmp_path / "x.csv")
    assert table.columns == tuple(NAMES)
    np.testing.assert_array_equal(table.values, load(home / "iris").reconstruct(iris_frame()))


@pytest.mark.parametrize("given", ["digits", "digits.idx"])
def test_denoise_keeps_the_shape_of_pictures_in_an_array(tmp_path, home, given):
    invoke("denoise", home / given, tmp_path / "x.npy", "--model", home / "strokes")
    wanted = load(home / "strokes").reconstruct(LIGHT).reshape(60, 8, 8)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), wanted)


def test_denoise_writes_pictures_in_a_table_as_rows(tmp_path, home):
    invoke("denoise", home / "digits.idx", tmp_path / "x.parquet", "--model", home / "strokes")
    wanted = load(home / "strokes").reconstruct(LIGHT)
    np.testing.assert_array_equal(read(tmp_path / "x.parquet").values, wanted)


def test_denoise_turns_a_folder_of_pictures_into_one_of_the_same_names(tmp_path, home):
    printed = invoke("denoise", home / "digits", tmp_path / "x", "--model", home / "strokes")
    table = read(tmp_path / "x")
    light = np.clip(load(home / "strokes").reconstruct(LIGHT), 0, 1).reshape(60, 8, 8)
    assert table.rows == tuple(PICTURES)
    np.testing.assert_array_equal(np.rint(table.values * 255), np.rint(light * 255))
    assert printed == (
        f"{home / 'strokes'} never saw noise: its 8 numbers a row keep what they can.\n"
        f"{tmp_path / 'x'}: 60 pictures.\n"
    )


def test_denoise_keeps_the_depth_of_pictures(tmp_path, home):
    write_pictures(tmp_path / "deep", LIGHT.reshape(60, 8, 8), PICTURES, deep=True)
    invoke("denoise", tmp_path / "deep", tmp_path / "x", "--model", home / "strokes")
    light = np.clip(load(home / "strokes").reconstruct(LIGHT), 0, 1).reshape(60, 8, 8)
    np.testing.assert_allclose(read(tmp_path / "x").values, light, atol=0.6 / 65535)


@pytest.mark.parametrize(
    ("data", "out"), [("clean", "clean2"), ("elsewhere/clean", "clean"), ("noisy", "clean")]
)
def test_next_command_does_not_write_over_its_input(tmp_path, monkeypatch, data, out):
    monkeypatch.chdir(tmp_path)
    Path(data).mkdir(parents=True)
    command = following.using_command(Path(data), Path("model"), denoises=True)
    assert command == f"isthmus denoise {data} {out} --model model"


@pytest.mark.parametrize(
    ("said", "typed"),
    [
        ("write scaling='standard'.", "write --scaling standard."),
        ("Raise max_epochs (now 5).", "Raise --max-epochs (now 5)."),
        ("write code='topk(k=8)', or", "write --code 'topk(k=8)', or"),
        ("a code of weight_l2(weight=1e-4)", "a code of weight_l2(weight=1e-4)"),
        ("corruption='clean' is none", "--noise clean is none"),
        (
            "write network=\"dense(linear_path='pca')\".",
            """write --network 'dense(linear_path='"'"'pca'"'"')'.""",
        ),
        (
            "say what the rows are by sample_shape=(channels, height, width).",
            "say what the rows are by --sample-shape channels,height,width.",
        ),
        ("a fit with hidden=[8, 4], and hidden is", "a fit with --hidden 8,4, and hidden is"),
        ("hidden=() or device='cpu'", "--hidden '()' or --device cpu"),
        ("or fit a VariationalAutoencoder.", "or fit with --estimator variational."),
        (
            "fit a StackedAutoencoder(code='sigmoid', pretraining='rbm'), or write method='kde'.",
            "fit with --estimator stacked --code sigmoid --pretraining rbm, or write --method kde.",
        ),
        (
            "a name of part 'weight_l2' and model_epochs",
            "a name of part 'weight_l2' and model_epochs",
        ),
    ],
)
def test_advice_is_what_can_be_typed(said, typed):
    assert at_the_shell(said) == typed


def test_advice_calls_an_option_as_the_running_command_does():
    commands = {command.name: command for command in COMMANDS}
    said = "sample_shape=(2, 32) or sample_shape"
    assert at_the_shell(said, commands["report"]) == "--shape 2,32 or --shape"
    assert at_the_shell(said, commands["fit"]) == "--sample-shape 2,32 or --sample-shape"
    assert at_the_shell("n_steps=0", commands["sample"]) == "--steps 0"


def test_range_of_an_option_is_in_plain_words(home, refusal):
    said = refusal("fit", home / "iris.csv", "--model", "m", "--verbose", "-1")
    assert said.startswith(
        "Invalid value for '--verbose': '-1' should be greater than or equal to 0 or should be "
        "true or false"
    )


@pytest.mark.parametrize("module", ["isthmus", "isthmus.cli.main"])
def test_module_is_the_command(module):
    process = [sys.executable, "-m", module, "--version"]
    done = subprocess.run(process, capture_output=True, text=True, check=True)
    assert done.stdout == f"isthmus {isthmus.__version__}\n"


# score


def test_score_prints_the_models_scores_and_its_worst_rows(home):
    printed = invoke("score", home / "iris.parquet", "--model", home / "iris")
    model, X = load(home / "iris"), iris_frame()
    errors = model.reconstruction_error(X)
    assert cells(printed) == [
        ("rows", "150"),
        ("mean squared error", f"{errors.mean():.6g} (squared units, summed over 4 features)"),
        ("explained variance", f"{model.score(X):.4f} (1 is perfect)"),
        ("mean log-likelihood", f"{model.score_samples(X).mean():.6g} nats per row"),
        ("row (from 0)", "log-likelihood", "squared error"),
        *(
            (str(row), f"{model.score_samples(X)[row]:.6g}", f"{errors[row]:.6g}")
            for row in np.argsort(model.score_samples(X))[:5]
        ),
    ]


def test_score_finds_the_odd_row_among_features_of_larger_numbers(tmp_path):
    income, age, height = np.random.default_rng(0).normal(size=(3, 200))
    height[17] = 9
    table = pl.DataFrame({"income": 20000 * income + 50000, "age": 9 * age, "height": height})
    table.write_csv(tmp_path / "people.csv")
    options = ["--scaling", "standard", "-k", "1", *QUICKLY]
    invoke("fit", tmp_path / "people.csv", "--model", tmp_path / "model", *options)
    printed = cells(invoke("score", tmp_path / "people.csv", "--model", tmp_path / "model"))
    errors = load(tmp_path / "model").reconstruction_error(table)
    assert 17 not in np.argsort(-errors)[:5]  # the incomes drown it
    assert printed[5][0] == "17"


def test_score_names_the_pictures_that_are_least_likely(home):
    printed = invoke("score", home / "digits", "--model", home / "strokes")
    model = load(home / "strokes")
    errors, likelihoods = model.reconstruction_error(LIGHT), model.score_samples(LIGHT)
    assert cells(printed)[-6:] == [
        ("row (from 0)", "picture", "log-likelihood", "squared error"),
        *(
            (str(row), PICTURES[row], f"{likelihoods[row]:.6g}", f"{errors[row]:.6g}")
            for row in np.argsort(likelihoods)[:5]
        ),
    ]


def test_score_names_the_file_that_leaves_the_likelihoods_domain(tmp_path, home, refusal):
    options = ["--likelihood", "bernoulli", *QUICKLY]
    invoke("fit", home / "digits.npy", "--model", tmp_path / "bits", *options)
    np.save(tmp_path / "grey.npy", 255 * LIGHT)
    assert refusal("score", tmp_path / "grey.npy", "--model", tmp_path / "bits").startswith(
        f"{tmp_path / 'grey.npy'} runs from 0 to 240, and likelihood 'bernoulli' needs values from "
    )


def test_score_writes_every_rows_error_and_likelihood(tmp_path, home):
    invoke("score", home / "iris.csv", "--model", home / "iris", "--out", tmp_path / "s.csv")
    table, model, X = read(tmp_path / "s.csv"), load(home / "iris"), iris_frame()
    assert table.columns == ("row", "squared_error", "log_likelihood")
    np.testing.assert_array_equal(table.values[:, 0], range(150))
    np.testing.assert_array_equal(table.values[:, 1], model.reconstruction_error(X))
    np.testing.assert_array_equal(table.values[:, 2], model.score_samples(X))


@pytest.mark.parametrize("command", ["transform", "score"])
def test_tables_about_pictures_bear_their_names(tmp_path, home, command):
    out = tmp_path / "x.csv"
    place = ["--out", out] if command == "score" else [out]
    invoke(command, home / "digits", *place, "--model", home / "strokes")
    assert pl.read_csv(out)["picture"].to_list() == PICTURES
    assert pl.read_csv(out)["row"].to_list() == list(range(60))


# info, parts, demo


def test_info_says_what_the_model_is(home):
    model = load(home / "iris")
    assert cells(invoke("info", home / "iris")) == [
        ("estimator", "Autoencoder"),
        ("parameters", "hidden=()"),
        ("", "max_epochs=2"),
        ("", "random_state=0"),
        ("features", "4 (sepal_length, sepal_width, petal_length, petal_width)"),
        ("rows of training", "150"),
        ("code width", "2"),
        (
            "against PCA",
            f"{model.versus_pca_.ratio:.2f} times the error of PCA (held out, 149 rows)",
        ),
        ("epochs", "0 (PCA, as which it began, is the best linear network)"),
        ("saved by", f"Isthmus {isthmus.__version__} (this is {isthmus.__version__})"),
    ]


def test_parts_lists_every_part_with_its_fields():
    printed = invoke("parts")
    for slot in SLOTS:
        _, _, table = printed.partition(f"--{slot.slot}: ")
        rows = cells(table.partition("╰")[0])
        starts = [i for i, row in enumerate(rows) if row[0]][1:]
        assert [rows[i][0] for i in starts] == list(slot.kinds)
        for kind, start, end in zip(slot.kinds.values(), starts, [*starts[1:], None], strict=True):
            fields = " ".join(row[2] for row in rows[start:end])
            named = [field.name for field in dataclasses.fields(kind)]
            assert re.findall(r"(?:^| )(\w+)=(?!pca)", fields) == named


def test_parts_fill_options_of_fit():
    options = {name for option in fit.params for name in option.opts}
    assert {f"--{slot.slot}" for slot in SLOTS} < options


def test_demo_is_told_where_to_write_and_its_seed(tmp_path, monkeypatch):
    called = []
    fake = types.SimpleNamespace(demo=lambda out, seed, console: called.append((out, seed)))
    monkeypatch.setitem(sys.modules, "isthmus.cli.demo", fake)
    invoke("demo")
    invoke("demo", "--out", tmp_path, "--seed", 3)
    assert called == [(Path("demo"), 0), (tmp_path, 3)]
