"""The command `doselo`: parse, call one function, print. Heavy imports live inside the commands."""

import typer

from . import benchmark, clinical, data, planning_systems, predictions, predictor, report, setup, training
from .several_values import SeveralValues

app = typer.Typer(
    name="doselo",
    help="Dose-guided nnU-Net for radiotherapy. Research software, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
convert = typer.Typer(no_args_is_help=True, help="Turn clinical or public data into an extended nnU-Net dataset.")

for name, command in {
    "env": setup.env,
    "doctor": setup.doctor,
    "trainers": setup.trainers,
    "demo": setup.demo,
    "phantom": data.phantom,
    "verify": data.verify,
    "preprocess": data.preprocess,
    "variants": data.variants,
    "train-predictor": training.train_predictor,
    "sensitivity": training.sensitivity,
    "evaluate-predictor": predictor.evaluate_predictor,
    "predict-dose": predictor.predict_dose,
    "plan": predictions.plan,
    "evaluate": predictions.evaluate,
    "benchmark": benchmark.benchmark,
    "report": report.report,
    "export-stock": predictions.export_stock,
    "export-rtstruct": planning_systems.export_rtstruct,
    "import-dose": planning_systems.import_dose,
}.items():
    app.command(name, cls=SeveralValues)(command)
for name, command in {
    "dicom": clinical.dicom,
    "nifti": clinical.nifti,
    "starter": clinical.starter,
    "openkbp": data.openkbp,
    "channels": data.channels,
}.items():
    convert.command(name)(command)
app.add_typer(convert, name="convert")
