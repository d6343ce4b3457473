//! The program. The library has all of it, as cargo compiles a library while it still generates the code of aws-sdk-ec2, and
//! a program only afterwards.

fn main() -> imdsctl::Exit {
    imdsctl::main()
}
