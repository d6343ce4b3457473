//! CloudFormation stacks.

use super::facts::{Facts, Mend, json, listed, note, step};

pub fn mend(facts: &Facts<'_>) -> Mend {
    let lacks = &facts.found.lacks;
    let on_stack =
        |operation| facts.aws("cloudformation", operation).option("--stack-name", &facts.source.id);
    let change = format!(
        "Where the template is kept, set \"MetadataOptions\": {} in each AWS::EC2::Instance, and in the \
         LaunchTemplateData of each AWS::EC2::LaunchTemplate. CloudFormation changes instances without interruption. \
         The template of a nested stack is that of its parent.",
        json(lacks)
    );
    let deploy = "Create a change set from the template, here template.yaml, and look at it. Then run the command \
                  without --no-execute-changeset. A template with IAM resources needs --capabilities \
                  CAPABILITY_NAMED_IAM as well.";
    let deployed =
        on_stack("deploy").option("--template-file", "template.yaml").flag("--no-execute-changeset");
    Mend {
        sets: format!("The stack's template does not set {}, or the instances were changed.", listed(lacks)),
        fixes: vec![
            step(
                "Read the stack's template.",
                on_stack("get-template").option("--template-stage", "Original"),
            ),
            note(change),
            step(deploy, deployed),
        ],
    }
}
