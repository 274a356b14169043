use super::*;
use twinspan_model::device::Version;

const NOT_BUILT: GpuError = GpuError::NotBuilt {
    what: "CUDA",
    feature: "cuda",
};

fn no_driver() -> GpuError {
    GpuError::Missing {
        what: "libcuda.so.1 cannot be opened".to_owned(),
        remedy: "install it",
    }
}

fn broken() -> GpuError {
    GpuError::Driver {
        reason: "version mismatch".to_owned(),
    }
}

fn gpu(major: u32, minor: u32) -> Place {
    let version = Version { major, minor };
    Place::Cuda(CudaGpu {
        number: 0,
        name: "a GPU".to_owned(),
        capability: version,
        driver: version,
        nvrtc: version,
    })
}

#[test]
fn without_a_choice_a_gpu_is_taken_where_there_is_one() {
    let taken = |gpus| resolve(DeviceChoice::Auto, || gpus);
    assert_eq!(taken(Ok(2)), Ok(Resolved::Cuda(0)));
    for none in [Ok(0), Err(NOT_BUILT), Err(no_driver())] {
        assert_eq!(taken(none), Ok(Resolved::Cpu));
    }
    assert_eq!(
        taken(Err(broken())),
        Err(broken()),
        "a GPU that fails is not passed over in silence"
    );
}

#[test]
fn a_choice_is_taken_whatever_there_is() {
    let taken = |choice| resolve(choice, || panic!("nobody needs to count"));
    assert_eq!(taken(DeviceChoice::Cpu), Ok(Resolved::Cpu));
    assert_eq!(taken(DeviceChoice::AnyCuda), Ok(Resolved::Cuda(0)));
    assert_eq!(taken(DeviceChoice::Cuda(3)), Ok(Resolved::Cuda(3)));
    assert_eq!(taken(DeviceChoice::Wgpu(1)), Ok(Resolved::Wgpu(1)));
}

#[test]
fn workers_of_a_machine_get_a_gpu_each() {
    let dealt = |choice, workers, gpus| dealt(choice, workers, || gpus);
    for choice in [DeviceChoice::Auto, DeviceChoice::AnyCuda] {
        let each = dealt(choice, 2, Ok(8)).expect("enough");
        assert_eq!(each, [DeviceChoice::Cuda(0), DeviceChoice::Cuda(1)]);
        let error = dealt(choice, 3, Ok(2)).expect_err("too few");
        assert!(
            error
                .to_string()
                .starts_with("3 workers need a GPU each, and this machine has 2"),
            "{error}"
        );
    }
}

#[test]
fn workers_share_the_gpu_that_is_named_and_the_processor() {
    let all = |choice| dealt(choice, 3, || panic!("nobody needs to count")).expect("dealt");
    for choice in [
        DeviceChoice::Cuda(1),
        DeviceChoice::Wgpu(0),
        DeviceChoice::Cpu,
    ] {
        assert_eq!(all(choice), [choice; 3]);
    }
    for none in [Ok(0), Err(NOT_BUILT), Err(no_driver())] {
        let dealt = dealt(DeviceChoice::Auto, 3, || none).expect("dealt");
        assert_eq!(dealt, [DeviceChoice::Cpu; 3]);
    }
    let without_driver = dealt(DeviceChoice::AnyCuda, 3, || Err(no_driver()));
    assert!(matches!(without_driver, Err(WorkerError::Gpu(error)) if error == no_driver()));
}

#[test]
fn bf16_is_refused_where_it_is_not_computed_in() {
    for place in [gpu(8, 0), gpu(9, 0)] {
        assert!(check_precision(&place, Precision::Bf16).is_ok());
    }
    for place in [
        gpu(7, 5),
        Place::Cpu,
        Place::Wgpu("wgpu:0, a GPU".to_owned()),
    ] {
        assert!(check_precision(&place, Precision::Fp32).is_ok());
        let error = check_precision(&place, Precision::Bf16).expect_err("refused");
        assert!(error.is_bad_input());
        let told = format!(
            "train.precision bf16 needs an NVIDIA GPU of compute capability 8.0 or higher, and this worker computes on {place}"
        );
        assert!(error.to_string().starts_with(&told), "{error}");
    }
}

#[test]
fn ranks_must_have_the_architecture_in_common_and_not_the_number() {
    assert_eq!(gpu(9, 0).kind(), "cuda sm_90");
    assert_eq!(Place::Cpu.kind(), "cpu");
    assert_eq!(Place::Wgpu("wgpu:1, a GPU".to_owned()).kind(), "wgpu");
}
